package gcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/world"
)

// A Service of type LoadBalancer has the controllers of a cluster make a forwarding rule, a target pool, a health check and two
// firewall rules; a claim has the CSI driver make a disk. They go with the Service or the volume, but not with the cluster: then they
// stay, and cost, until somebody deletes them.

// belongingKinds are the collections of what controllers make.
var belongingKinds = []string{"forwardingRules", "targetPools", "httpHealthChecks", "firewalls", "disks"}

// Belongings implements fleet.Keeper.
func (c *Cloud) Belongings(ctx context.Context, id string, found clusters.Inventory) error {
	return c.view(ctx, func(tx *world.Tx) error {
		f, err := loadFamily(tx, id)
		if isNotFound(err) || err == nil && f.cluster.State == stateStopping {
			return nil
		}
		if err != nil {
			return err
		}
		var wanted []resource
		for _, b := range found.LoadBalancers {
			wanted = append(wanted, f.balancer(b)...)
		}
		if len(found.LoadBalancers) > 0 {
			wanted = append(wanted, f.healthCheck()...)
		}
		for _, v := range found.Volumes {
			wanted = append(wanted, f.disk(v))
		}
		return f.reconcileBelongings(tx, wanted, c.World.Clock.Now())
	})
}

// reconcileBelongings makes what is stored of a cluster's belongings what there is.
func (f *family) reconcileBelongings(tx *world.Tx, wanted []resource, now time.Time) error {
	var have []resource
	for _, kind := range belongingKinds {
		all, err := world.List[resource](tx, ref(kind, ""))
		if err != nil {
			return err
		}
		have = append(have, slices.DeleteFunc(all, func(r resource) bool { return r.Cluster != f.cluster.ID || r.GKE })...)
	}
	var problems []error
	for _, w := range wanted {
		i := slices.IndexFunc(have, func(h resource) bool { return h.path() == w.path() })
		switch {
		case i < 0:
			w.CreatedAt = now
			problems = append(problems, makeBelonging(tx, w))
		case have[i].Busy == "" && fingerprint(have[i].Doc) != fingerprint(w.Doc):
			changed := have[i]
			changed.Doc = w.Doc
			problems = append(problems, putResource(tx, changed))
		}
	}
	for _, h := range have {
		if !slices.ContainsFunc(wanted, func(w resource) bool { return h.path() == w.path() }) {
			problems = append(problems, tx.Delete(h.key()), tx.Record(h.told(world.Deleted)))
		}
	}
	return errors.Join(problems...)
}

func makeBelonging(tx *world.Tx, w resource) error {
	id, err := newID()
	if err != nil {
		return err
	}
	w.ID = id
	return errors.Join(putResource(tx, w), tx.Record(w.told(world.Created)))
}

// told is the line of the ledger about a belonging.
func (r resource) told(kind string) world.Effect {
	of, _ := collectionNamed(r.Collection)
	return world.Effect{Provider: Name, Kind: kind, Resource: of.ledger, ID: r.ID, Name: r.Name, Parent: r.Cluster}
}

// belonging is a resource of the cluster's.
func (f *family) belonging(collection, scope, name, uid string, doc document) resource {
	return resource{Collection: collection, Scope: scope, Name: name, Doc: doc, Cluster: f.cluster.ID, UID: uid}
}

// balancer is what the service controller makes for a load balancer.
func (f *family) balancer(b clusters.LoadBalancer) []resource {
	where := regionS + "/" + regionName(f.cluster.Location)
	about := describe(map[string]any{"kubernetes.io/service-name": b.Service})
	network := computeLink(f.cluster.Doc.M.GetNetworkConfig().GetNetwork())
	tags := []any{nodeTag(f.cluster)}
	var instances []any
	for _, n := range f.nodes {
		instances = append(instances, computeLink(pathOf(zoneS+"/"+n.Zone, "instances", n.Name)))
	}
	ports := map[string][]any{}
	first, last, protocol := 0, 0, "TCP"
	for _, p := range b.Ports {
		ports[p.Protocol] = append(ports[p.Protocol], strconv.Itoa(p.Port))
		if first == 0 || p.Port < first {
			first = p.Port
		}
		last = max(last, p.Port)
		if p.Protocol == "udp" {
			protocol = "UDP"
		}
	}
	allowed := []any{}
	for _, protocol := range []string{"tcp", "udp", "sctp"} {
		if len(ports[protocol]) > 0 {
			allowed = append(allowed, map[string]any{"IPProtocol": protocol, "ports": ports[protocol]})
		}
	}
	pool := f.belonging("targetPools", where, b.Name, b.UID, document{"description": about, "instances": instances, "sessionAffinity": "NONE",
		"healthChecks": []any{computeLink(pathOf(global, "httpHealthChecks", f.checkName()))}})
	rule := document{"description": about, "IPAddress": b.IP, "IPProtocol": protocol, "portRange": fmt.Sprintf("%d-%d", first, last),
		"target": pool.link(), "loadBalancingScheme": "EXTERNAL", "networkTier": "PREMIUM", "labelFingerprint": hex8(b.UID)}
	return []resource{
		f.belonging("forwardingRules", where, b.Name, b.UID, rule), pool,
		f.belonging("firewalls", global, "k8s-fw-"+b.Name, b.UID, document{
			"description": describe(map[string]any{"kubernetes.io/service-name": b.Service, "kubernetes.io/service-ip": b.IP}), "network": network,
			"sourceRanges": []any{"0.0.0.0/0"}, "targetTags": tags, "allowed": allowed, "direction": "INGRESS", "priority": 1000.0, "disabled": false,
			"destinationRanges": []any{b.IP}, "logConfig": map[string]any{"enable": false}}),
	}
}

// checkName is what all load balancers of a cluster share to learn which nodes live.
func (f *family) checkName() string { return "k8s-" + f.cluster.hash() + "-node" }

// healthCheck is made with the first load balancer of a cluster.
func (f *family) healthCheck() []resource {
	about := describe(map[string]any{"kubernetes.io/cluster-id": f.cluster.hash()})
	return []resource{
		f.belonging("httpHealthChecks", global, f.checkName(), "", document{"description": about, "host": "", "port": 10256.0, "requestPath": "/healthz",
			"checkIntervalSec": 8.0, "timeoutSec": 1.0, "healthyThreshold": 1.0, "unhealthyThreshold": 3.0}),
		f.belonging("firewalls", global, f.checkName()+"-http-hc", "", document{"description": about, "network": computeLink(f.cluster.Doc.M.GetNetworkConfig().GetNetwork()),
			"sourceRanges": []any{"130.211.0.0/22", "35.191.0.0/16", "209.85.152.0/22", "209.85.204.0/22"}, "targetTags": []any{nodeTag(f.cluster)},
			"allowed":   []any{map[string]any{"IPProtocol": "tcp", "ports": []any{"10256"}}},
			"direction": "INGRESS", "priority": 1000.0, "disabled": false, "logConfig": map[string]any{"enable": false}}),
	}
}

// disk is what the CSI driver makes for a volume, in the zone of one of the nodes.
func (f *family) disk(v clusters.Volume) resource {
	zone := f.firstZone()
	if len(f.nodes) > 0 {
		zone = f.nodes[0].Zone
	}
	labels := map[string]any{"goog-k8s-cluster-name": f.cluster.Name, "goog-k8s-cluster-location": f.cluster.Location, "goog-gke-volume": ""}
	for key, value := range f.cluster.Doc.M.ResourceLabels {
		labels[key] = value
	}
	namespace, claim, _ := strings.Cut(v.Claim, "/")
	return f.belonging("disks", zoneS+"/"+zone, v.Name, v.UID, document{"sizeGb": strconv.Itoa(v.SizeGiB), "status": "READY", "labels": labels,
		"description": describe(map[string]any{"kubernetes.io/created-for/pv/name": v.Name, "kubernetes.io/created-for/pvc/name": claim,
			"kubernetes.io/created-for/pvc/namespace": namespace, "storage.gke.io/created-by": "pd.csi.storage.gke.io"}),
		"type": computeLink("projects/" + ProjectID + "/zones/" + zone + "/diskTypes/pd-balanced"), "physicalBlockSizeBytes": "4096"})
}

// describe is how controllers say in a description what something is for.
func describe(about map[string]any) string {
	data, err := json.Marshal(about)
	if err != nil {
		panic(fmt.Sprintf("texts are not JSON: %v", err)) // they always are
	}
	return string(data)
}
