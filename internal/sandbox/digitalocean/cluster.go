package digitalocean

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/fleet"
	"github.com/m3o/platform/internal/sandbox/world"
)

// The networks inside a cluster are the runner's, and the same for all.
const (
	clusterSubnet = "10.244.0.0/16"
	serviceSubnet = "10.96.0.0/16"
	// haSince is the minor version from which a highly available control plane is the default.
	haSince = 36
)

// wire is the cluster as the API shows it.
func (f *family) wire() wireCluster {
	c := f.cluster
	w := wireCluster{
		ID: c.ID, Name: c.Name, Region: c.Region, Version: c.Version, VPC: c.VPC,
		ClusterSubnet: clusterSubnet, ServiceSubnet: serviceSubnet, Endpoint: c.Endpoint,
		Tags: append([]string{"k8s", "k8s:" + c.ID}, c.Tags...), NodePools: []wirePool{},
		MaintenancePolicy: c.MaintenancePolicy, AutoUpgrade: c.AutoUpgrade, SurgeUpgrade: c.SurgeUpgrade, HA: c.HA,
		Status:    wireStatus{State: wireState(c.State), Message: c.Message},
		CreatedAt: stamp(c.CreatedAt), UpdatedAt: stamp(c.UpdatedAt), plugins: c.Plugins,
	}
	if c.Endpoint != "" {
		w.IPv4 = "127.0.0.1"
	}
	if w.SSO == nil {
		w.SSO = settings{"enabled": false, "required": false}
	}
	for _, p := range f.pools {
		w.NodePools = append(w.NodePools, f.wirePool(p))
	}
	return w
}

// wireState is how a state is called there. A cluster on its way out is "deleted" until it is gone: the description also
// has "deleting", but the official SDK cannot read that, so it cannot be what is sent.
func wireState(state string) string {
	if state == deleting {
		return "deleted"
	}
	return state
}

func listClusters(c *exchange) (reply, error) {
	wires, total, page := []wireCluster{}, 0, pageOf(c.Request)
	err := c.View(func(tx *world.Tx) error {
		all, err := world.List[cluster](tx, ref(kindCluster, ""))
		if err != nil {
			return err
		}
		total = len(all)
		for _, one := range onPage(page, all) { // an account of a thousand is read page by page: their pools and nodes are as many again
			f, err := loadFamily(tx, one.ID)
			if err != nil {
				return err
			}
			wires = append(wires, f.wire())
		}
		return nil
	})
	return reply{status: http.StatusOK, body: page.body("kubernetes_clusters", wires, total)}, err
}

// family loads the cluster of the path.
func (c *exchange) family(tx *world.Tx) (*family, error) {
	return loadFamily(tx, c.Request.PathValue("cluster_id"))
}

// liveFamily loads the cluster of the path, unless it is on its way out.
func (c *exchange) liveFamily(tx *world.Tx) (*family, error) {
	f, err := c.family(tx)
	if err == nil && f.cluster.State == deleting {
		return nil, unprocessable("the cluster is being deleted")
	}
	return f, err
}

func getCluster(c *exchange) (reply, error) {
	var w wireCluster
	err := c.View(func(tx *world.Tx) error {
		f, err := c.family(tx)
		if err == nil {
			w = f.wire()
		}
		return err
	})
	return reply{status: http.StatusOK, body: map[string]any{"kubernetes_cluster": w}}, err
}

func createCluster(c *exchange) (reply, error) {
	var asked clusterRequest
	if err := c.decode(&asked); err != nil {
		return reply{}, err
	}
	if err := asked.check(c.cloud.Versions); err != nil {
		return reply{}, err
	}
	var w wireCluster
	err := c.Commit(func(tx *world.Tx) error {
		f, err := c.newFamily(tx, asked)
		if err != nil {
			return err
		}
		w = f.wire()
		return c.addFamily(tx, f)
	})
	return reply{status: http.StatusCreated, body: map[string]any{"kubernetes_cluster": w}}, err
}

// newFamily makes the cluster that was asked for, if the account has room for it.
func (c *exchange) newFamily(tx *world.Tx, asked clusterRequest) (*family, error) {
	place, err := c.freePlace(tx, asked.Name)
	if err != nil {
		return nil, err
	}
	wanted := 0
	for _, p := range asked.NodePools {
		wanted += p.Count
	}
	if err := c.roomFor(tx, wanted); err != nil {
		return nil, err
	}
	network, err := c.networkFor(tx, asked)
	if err != nil {
		return nil, err
	}
	version, _ := resolveVersion(asked.Version, c.cloud.Versions)
	one := cluster{
		ID: uuid.NewString(), Name: asked.Name, Region: asked.Region, Version: version, VPC: network, Tags: asked.Tags,
		State: provisioning, Place: place, MaintenancePolicy: asked.MaintenancePolicy.orDefault(), AutoUpgrade: asked.AutoUpgrade,
		SurgeUpgrade: asked.SurgeUpgrade, HA: minorNumber(minorOf(version)) >= haSince, Plugins: asked.plugins,
		CreatedAt: c.At, UpdatedAt: c.At,
	}
	if asked.HA != nil {
		one.HA = *asked.HA
	}
	if one.Transition, err = c.begin(tx, one.ID, clusterCreation); err != nil {
		return nil, err
	}
	f := &family{cluster: one}
	for _, p := range asked.NodePools {
		if err := f.addPool(tx, c, p, one.Transition); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// networkFor is the VPC that the cluster will be in.
func (c *exchange) networkFor(tx *world.Tx, asked clusterRequest) (string, error) {
	if asked.VPC == "" {
		return c.defaultVPC(tx, asked.Region)
	}
	v, err := world.Get[vpc](tx, ref(kindVPC, asked.VPC))
	if isNotFound(err) {
		return "", unprocessable("vpc_uuid: no VPC %s in this account", asked.VPC)
	}
	if err == nil && v.Region != asked.Region {
		return "", unprocessable("vpc_uuid: VPC %s is in region %s, not %s", asked.VPC, v.Region, asked.Region)
	}
	return v.ID, err
}

// freePlace finds where the runner can keep one more cluster, and refuses a name that another has.
func (c *exchange) freePlace(tx *world.Tx, name string) (string, error) {
	all, err := world.List[cluster](tx, ref(kindCluster, ""))
	if err != nil {
		return "", err
	}
	for _, one := range all {
		if one.Name == name {
			return "", unprocessable("a cluster with this name already exists")
		}
	}
	places := c.cloud.Runner.Places()
	place, found, err := fleet.FreePlace(tx, places)
	if err != nil || found {
		return place, err
	}
	return "", unprocessable("creating this cluster will exceed your cluster limit: the sandbox has room for %d (%s)",
		len(places), strings.Join(places, ", "))
}

// roomFor says whether the account may have so many more nodes.
func (c *exchange) roomFor(tx *world.Tx, more int) error {
	nodes, err := world.List[node](tx, ref(kindNode, ""))
	if err != nil {
		return err
	}
	if more > 0 && len(nodes)+more > c.cloud.DropletLimit {
		return quotaRefusal(c.Operation)
	}
	return nil
}

// addFamily writes a new cluster down, with all it consists of.
func (c *exchange) addFamily(tx *world.Tx, f *family) error {
	effect := c.Effect(world.Created, kindCluster, f.cluster.ID, f.cluster.Name)
	effect.Tags, effect.State, effect.Parent = f.cluster.Tags, provisioning, f.cluster.VPC
	problems := []error{putCluster(tx, f.cluster), tx.Record(effect)}
	for _, p := range f.pools {
		problems = append(problems, c.recordPool(tx, p))
	}
	for _, n := range f.nodes {
		problems = append(problems, c.recordNode(tx, n))
	}
	return errors.Join(problems...)
}

func updateCluster(c *exchange) (reply, error) {
	var asked clusterUpdate
	if err := c.decode(&asked); err != nil {
		return reply{}, err
	}
	if err := asked.check(); err != nil {
		return reply{}, err
	}
	var w wireCluster
	err := c.Commit(func(tx *world.Tx) error {
		f, err := c.liveFamily(tx)
		if err != nil {
			return err
		}
		if asked.Name != f.cluster.Name {
			return unprocessable("name: the sandbox cannot rename the cluster %s", f.cluster.Name)
		}
		asked.apply(&f.cluster)
		f.cluster.UpdatedAt = c.At
		w = f.wire()
		effect := c.Effect(world.Updated, kindCluster, f.cluster.ID, f.cluster.Name)
		effect.Tags, effect.State = f.cluster.Tags, f.cluster.State
		return errors.Join(putCluster(tx, f.cluster), tx.Record(effect))
	})
	return reply{status: http.StatusAccepted, body: map[string]any{"kubernetes_cluster": w}}, err
}

// apply changes what was sent and leaves the rest.
func (u clusterUpdate) apply(c *cluster) {
	if u.Tags != nil {
		c.Tags = *u.Tags
	}
	if u.MaintenancePolicy != nil {
		c.MaintenancePolicy = u.MaintenancePolicy.orDefault()
	}
	for _, flag := range []struct{ asked, kept *bool }{
		{u.AutoUpgrade, &c.AutoUpgrade}, {u.SurgeUpgrade, &c.SurgeUpgrade}, {u.HA, &c.HA},
	} {
		if flag.asked != nil {
			*flag.kept = *flag.asked
		}
	}
	c.Plugins.merge(u.plugins)
}

// merge takes over the settings that were sent.
func (p *plugins) merge(sent plugins) {
	for _, s := range []struct {
		sent settings
		kept *settings
	}{
		{sent.ControlPlaneFirewall, &p.ControlPlaneFirewall}, {sent.ClusterAutoscaler, &p.ClusterAutoscaler},
		{sent.RoutingAgent, &p.RoutingAgent}, {sent.AMDDevices, &p.AMDDevices}, {sent.AMDMetrics, &p.AMDMetrics},
		{sent.NvidiaDevices, &p.NvidiaDevices}, {sent.RDMA, &p.RDMA}, {sent.CoreDNSAutoscaler, &p.CoreDNSAutoscaler},
		{sent.SSO, &p.SSO}, {sent.PeerRegistry, &p.PeerRegistry},
	} {
		if s.sent != nil {
			*s.kept = s.sent
		}
	}
}

// orDefault completes a maintenance policy.
func (m *maintenance) orDefault() *maintenance {
	full := maintenance{StartTime: "00:00", Duration: "4h0m0s", Day: "any"}
	if m != nil {
		full.StartTime, full.Day = m.StartTime, m.Day
	}
	return &full
}

func deleteCluster(c *exchange) (reply, error) {
	return c.deleteCluster(func(*world.Tx, string) ([]string, error) { return nil, nil })
}

func deleteClusterDangerous(c *exchange) (reply, error) {
	return c.deleteCluster(func(tx *world.Tx, id string) ([]string, error) {
		all, err := belongingsOf(tx, id)
		ids := make([]string, 0, len(all))
		for _, b := range all {
			ids = append(ids, b.ID)
		}
		return ids, err
	})
}

func deleteClusterSelective(c *exchange) (reply, error) {
	var asked struct {
		LoadBalancers   []string `json:"load_balancers"`
		Volumes         []string `json:"volumes"`
		VolumeSnapshots []string `json:"volume_snapshots"`
	}
	if err := c.decode(&asked); err != nil {
		return reply{}, err
	}
	return c.deleteCluster(func(tx *world.Tx, id string) ([]string, error) {
		all, err := belongingsOf(tx, id)
		chosen := slices.Concat(asked.LoadBalancers, asked.Volumes, asked.VolumeSnapshots)
		for _, one := range chosen {
			if err == nil && !slices.ContainsFunc(all, func(b belonging) bool { return b.ID == one }) {
				err = unprocessable("%s is not associated with the cluster", one)
			}
		}
		return chosen, err
	})
}

// deleteCluster starts a cluster's end. along says which of its belongings go with it. Asking again changes nothing.
func (c *exchange) deleteCluster(along func(tx *world.Tx, id string) ([]string, error)) (reply, error) {
	err := c.Commit(func(tx *world.Tx) error {
		f, err := c.family(tx)
		if err != nil || f.cluster.State == deleting {
			return err
		}
		one := f.cluster
		if one.Along, err = along(tx, one.ID); err != nil {
			return err
		}
		if one.Transition, err = c.BeginEnd(tx, "delete-"+one.ID, clusterDeletion); err != nil {
			return err
		}
		one.State, one.Message, one.UpdatedAt = deleting, "", c.At
		for _, n := range f.nodes {
			n.State, n.Message, n.UpdatedAt = deleting, "", c.At
			err = errors.Join(err, putNode(tx, n))
		}
		effect := c.Effect(world.Updated, kindCluster, one.ID, one.Name)
		effect.Tags, effect.State = one.Tags, deleting
		return errors.Join(err, putCluster(tx, one), tx.Record(effect))
	})
	return reply{status: http.StatusNoContent}, err
}

func getUser(c *exchange) (reply, error) {
	err := c.View(func(tx *world.Tx) error {
		_, err := c.family(tx)
		return err
	})
	return reply{status: http.StatusOK, body: map[string]any{"kubernetes_cluster_user": map[string]any{
		"username": accountEmail, "groups": []string{"k8saas:authenticated"}}}}, err
}
