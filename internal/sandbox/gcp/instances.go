package gcp

import (
	"cmp"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/sandbox/world"
)

// Instances and their managed groups are the nodes of the clusters: the sandbox has no others, and they can only be looked at.

func instanceRoutes() []route {
	var all []route
	for _, kind := range []struct {
		name, one string
		find      func(*world.Tx, string) ([]document, error)
	}{{"instances", "instance", instancesIn}, {"instanceGroupManagers", "instanceGroupManager", groupsIn}} {
		path := onCompute + "/zones/{zone}/" + kind.name
		add := func(path, verb, permission string, handle func(*request) (any, error)) {
			all = append(all, route{service: serviceCompute, method: "GET", path: path, operation: "compute." + kind.name + "." + verb,
				permissions: []string{"compute." + kind.name + "." + permission}, handle: handle, names: []string{kind.one}})
		}
		add(path, "list", "list", func(r *request) (any, error) { return r.listViews(kind.name, kind.one, kind.find) })
		add(path+"/{"+kind.one+"}", "get", "get", func(r *request) (any, error) { return r.getView(kind.name, kind.one, kind.find) })
		add(onCompute+"/aggregated/"+kind.name, "aggregatedList", "list", func(r *request) (any, error) {
			docs, err := r.views("", kind.find)
			if err != nil {
				return nil, err
			}
			return r.aggregated("compute#"+kind.one+"AggregatedList", kind.name, placesOf(zoneS), docs)
		})
	}
	return all
}

// views are what there is of a kind in a zone, or everywhere.
func (r *request) views(zone string, find func(*world.Tx, string) ([]document, error)) (docs []document, err error) {
	err = r.View(func(tx *world.Tx) (err error) {
		docs, err = find(tx, zone)
		return err
	})
	slices.SortFunc(docs, func(a, b document) int { return cmp.Compare(a.text("selfLink"), b.text("selfLink")) })
	return docs, err
}

func (r *request) listViews(name, one string, find func(*world.Tx, string) ([]document, error)) (any, error) {
	scope, err := r.scope()
	if err != nil {
		return nil, err
	}
	docs, err := r.views(r.vars["zone"], find)
	if err != nil {
		return nil, err
	}
	return r.page("compute#"+one+"List", pathOf(scope, name, ""), docs)
}

func (r *request) getView(name, one string, find func(*world.Tx, string) ([]document, error)) (any, error) {
	scope, err := r.scope()
	if err != nil {
		return nil, err
	}
	docs, err := r.views(r.vars["zone"], find)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(docs, func(d document) bool { return d.text("name") == r.vars[one] })
	if i < 0 {
		return nil, noResource(pathOf(scope, name, r.vars[one]))
	}
	return docs[i], nil
}

// families are all clusters.
func families(tx *world.Tx) ([]*family, error) {
	all, err := world.List[cluster](tx, ref(kindCluster, ""))
	if err != nil {
		return nil, err
	}
	list := make([]*family, 0, len(all))
	for _, one := range all {
		f, err := loadFamily(tx, one.ID)
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, nil
}

func instancesIn(tx *world.Tx, zone string) ([]document, error) {
	all, err := families(tx)
	if err != nil {
		return nil, err
	}
	var docs []document
	for _, f := range all {
		for _, p := range f.pools {
			for _, n := range f.nodesOf(p.ID) {
				if zone == "" || n.Zone == zone {
					docs = append(docs, f.instance(p, n))
				}
			}
		}
	}
	return docs, nil
}

// instance is the machine of a node.
func (f *family) instance(p pool, n node) document {
	c, config := f.cluster, p.Doc.M.GetConfig()
	in := "projects/" + ProjectID + "/zones/" + n.Zone
	status := "RUNNING"
	switch {
	case n.Leaving || c.State == stateStopping:
		status = "STOPPING"
	case n.Spoiled:
		status = "PROVISIONING"
	}
	labels := map[string]any{"goog-gke-node": "", "goog-k8s-cluster-name": c.Name, "goog-k8s-cluster-location": c.Location, "goog-k8s-node-pool-name": p.Name,
		"goog-fleet-project": projectNumber}
	for key, value := range c.Doc.M.ResourceLabels {
		labels[key] = value
	}
	for key, value := range config.GetResourceLabels() {
		labels[key] = value
	}
	account := document{"email": config.GetServiceAccount()}
	if scopes := config.GetOauthScopes(); len(scopes) > 0 {
		account["scopes"] = scopes
	}
	return document{"kind": "compute#instance", "id": n.ID, "name": n.Name, "creationTimestamp": timestamp(n.Created), "status": status,
		"zone": computeLink(in), "machineType": computeLink(in + "/machineTypes/" + config.GetMachineType()), "selfLink": computeLink(in + "/instances/" + n.Name),
		"labels": labels, "labelFingerprint": fingerprint(labels), "fingerprint": fingerprint(document{"id": n.ID}),
		"tags":         document{"items": append([]string{nodeTag(c)}, config.GetTags()...), "fingerprint": fingerprint(document{"tag": nodeTag(c)})},
		"canIpForward": true, "deletionProtection": false, "startRestricted": false,
		"metadata": document{"kind": "compute#metadata", "fingerprint": fingerprint(document{"name": c.Name}), "items": []document{
			{"key": "cluster-name", "value": c.Name}, {"key": "cluster-location", "value": c.Location}, {"key": "cluster-uid", "value": c.ID},
			{"key": "created-by", "value": "projects/" + projectNumber + "/zones/" + n.Zone + "/instanceGroupManagers/" + f.groupName(p, n.Zone) + "-grp"}}},
		"networkInterfaces": []document{{"kind": "compute#networkInterface", "name": "nic0", "networkIP": n.Address, "stackType": "IPV4_ONLY",
			"network": computeLink(c.Doc.M.GetNetworkConfig().GetNetwork()), "subnetwork": computeLink(c.Doc.M.GetNetworkConfig().GetSubnetwork()),
			"fingerprint": fingerprint(document{"ip": n.Address})}},
		"serviceAccounts": []document{account},
		"scheduling":      document{"onHostMaintenance": "MIGRATE", "automaticRestart": true, "preemptible": false, "provisioningModel": "STANDARD"}}
}

// groupsIn are the managed groups of the pools.
func groupsIn(tx *world.Tx, zone string) ([]document, error) {
	all, err := families(tx)
	if err != nil {
		return nil, err
	}
	var docs []document
	for _, f := range all {
		for _, p := range f.pools {
			for _, in := range f.zonesOf(p) {
				if zone == "" || in == zone {
					docs = append(docs, f.group(p, in))
				}
			}
		}
	}
	return docs, nil
}

// group is the managed instance group of a pool in a zone: how many instances it is to have, and what it is doing about it.
func (f *family) group(p pool, zone string) document {
	name := f.groupName(p, zone)
	in := "projects/" + ProjectID + "/zones/" + zone
	none, creating, deleting := 0, 0, 0
	for _, n := range f.nodesOf(p.ID) {
		switch {
		case n.Zone != zone:
		case n.Leaving:
			deleting++
		case n.Running:
			none++
		default:
			creating++
		}
	}
	return document{"kind": "compute#instanceGroupManager", "id": numberID(p.ID + zone), "name": name + "-grp", "creationTimestamp": timestamp(p.Created),
		"zone": computeLink(in), "selfLink": computeLink(in + "/instanceGroupManagers/" + name + "-grp"), "instanceGroup": computeLink(in + "/instanceGroups/" + name + "-grp"),
		"baseInstanceName": name, "targetSize": none + creating, "fingerprint": fingerprint(document{"n": none + creating}),
		"instanceTemplate": computeLink("projects/" + ProjectID + "/global/instanceTemplates/" + strings.TrimSuffix(name, "-"+hex8(p.ID+zone)) + "-" + hex8(p.ID)),
		"currentActions": document{"none": none, "creating": creating, "deleting": deleting, "abandoning": 0, "creatingWithoutRetries": 0, "recreating": 0,
			"refreshing": 0, "restarting": 0, "verifying": 0, "resuming": 0, "starting": 0, "stopping": 0, "suspending": 0},
		"status": document{"isStable": creating == 0 && deleting == 0, "versionTarget": document{"isReached": true}, "stateful": document{"hasStatefulConfig": false}}}
}
