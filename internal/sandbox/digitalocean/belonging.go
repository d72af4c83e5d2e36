package digitalocean

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/world"
)

// Load balancers and volumes are made by what runs in a cluster: a Service of type LoadBalancer, a claim of storage. We look
// at what there is from time to time, as there the cloud controllers would tell. They go with the Service or the volume,
// but not with the cluster unless that is asked for: then they stay, and cost, until somebody deletes them.

// Belongings implements fleet.Keeper.
func (k keeper) Belongings(ctx context.Context, id string, found clusters.Inventory) error {
	return k.World.View(ctx, func(tx *world.Tx) error {
		one, err := world.Get[cluster](tx, ref(kindCluster, id))
		if isNotFound(err) || err == nil && one.State == deleting {
			return nil
		}
		if err != nil {
			return err
		}
		var wanted []belonging
		for _, b := range found.LoadBalancers {
			wanted = append(wanted, balancerOf(one, b))
		}
		for _, v := range found.Volumes {
			wanted = append(wanted, volumeOf(one, v))
		}
		return reconcileBelongings(tx, id, wanted, k.World.Clock.Now())
	})
}

// reconcileBelongings makes what is stored of a cluster's belongings what there is.
func reconcileBelongings(tx *world.Tx, id string, wanted []belonging, now time.Time) error {
	have, err := belongingsOf(tx, id)
	if err != nil {
		return err
	}
	for _, b := range wanted {
		i := slices.IndexFunc(have, func(o belonging) bool { return o.ID == b.ID })
		switch {
		case i < 0:
			b.CreatedAt = now
			err = errors.Join(err, putBelonging(tx, b), tx.Record(b.effect(world.Created)))
		case !b.same(have[i]):
			b.CreatedAt = have[i].CreatedAt
			err = errors.Join(err, putBelonging(tx, b))
		}
	}
	for _, b := range have {
		if !slices.ContainsFunc(wanted, func(o belonging) bool { return o.ID == b.ID }) {
			err = errors.Join(err, tx.Delete(ref(b.Kind, b.ID)), tx.Record(b.effect(world.Deleted)))
		}
	}
	return err
}

// same says whether two sightings of a belonging differ.
func (b belonging) same(o belonging) bool {
	return b.IP == o.IP && b.Name == o.Name && b.SizeGiB == o.SizeGiB && slices.Equal(b.Ports, o.Ports)
}

func (b belonging) effect(kind string) world.Effect {
	return world.Effect{Provider: Name, Kind: kind, Resource: b.Kind, ID: b.ID, Name: b.Name, Parent: b.Cluster}
}

// belongingsOf lists the load balancers and volumes that a cluster made.
func belongingsOf(tx *world.Tx, id string) ([]belonging, error) {
	balancers, err := world.Children[belonging](tx, ref(kindLoadBalancer, id))
	if err != nil {
		return nil, err
	}
	volumes, err := world.Children[belonging](tx, ref(kindVolume, id))
	return append(balancers, volumes...), err
}

// dropBelonging removes a belonging if it is still there.
func dropBelonging(tx *world.Tx, id string, why world.Transition) error {
	for _, kind := range []string{kindLoadBalancer, kindVolume} {
		b, err := world.Get[belonging](tx, ref(kind, id))
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		effect := b.effect(world.Deleted)
		effect.Operation, effect.Key = why.Operation, why.Key
		return errors.Join(tx.Delete(ref(kind, id)), tx.Record(effect))
	}
	return nil
}

// idOf makes the id of something in a cluster a cloud's id, always the same.
func idOf(one cluster, uid string) string {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(one.ID+"/"+uid)).String()
}

func balancerOf(one cluster, b clusters.LoadBalancer) belonging {
	made := belonging{ID: idOf(one, b.UID), Kind: kindLoadBalancer, Name: b.Name, Cluster: one.ID, Region: one.Region, VPC: one.VPC, IP: b.IP}
	for _, p := range b.Ports {
		made.Ports = append(made.Ports, port{Protocol: p.Protocol, Entry: p.Port, Target: p.NodePort})
	}
	return made
}

func volumeOf(one cluster, v clusters.Volume) belonging {
	return belonging{ID: idOf(one, v.UID), Kind: kindVolume, Name: v.Name, Cluster: one.ID, Region: one.Region, SizeGiB: v.SizeGiB}
}

func listAlong(c *exchange) (reply, error) {
	type item struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
	balancers, volumes := []item{}, []item{}
	err := c.View(func(tx *world.Tx) error {
		f, err := c.family(tx)
		if err != nil {
			return err
		}
		all, err := belongingsOf(tx, f.cluster.ID)
		for _, b := range all {
			if b.Kind == kindVolume {
				volumes = append(volumes, item{b.ID, b.Name})
			} else {
				balancers = append(balancers, item{b.ID, b.Name})
			}
		}
		return err
	})
	return reply{status: http.StatusOK, body: map[string]any{
		"load_balancers": balancers, "volumes": volumes, "volume_snapshots": []item{}}}, err
}

func (b belonging) wireBalancer() map[string]any {
	where, _ := findRegion(b.Region)
	rules := []map[string]any{}
	for _, p := range b.Ports {
		rules = append(rules, map[string]any{"entry_protocol": p.Protocol, "entry_port": p.Entry,
			"target_protocol": p.Protocol, "target_port": p.Target, "certificate_id": "", "tls_passthrough": false})
	}
	status := "new"
	if b.IP != "" {
		status = "active"
	}
	return map[string]any{
		"id": b.ID, "name": b.Name, "ip": b.IP, "size": "lb-small", "size_unit": 1, "status": status, "created_at": stamp(b.CreatedAt), "vpc_uuid": b.VPC,
		"algorithm": "round_robin", "forwarding_rules": rules, "health_check": b.healthCheck(), "sticky_sessions": map[string]any{"type": "none"},
		"redirect_http_to_https": false, "enable_proxy_protocol": false, "enable_backend_keepalive": false, "disable_lets_encrypt_dns_records": false,
		"http_idle_timeout_seconds": 60, "firewall": map[string]any{"allow": []string{}, "deny": []string{}}, "tls_cipher_policy": "DEFAULT",
		"droplet_ids": []int{}, "tag": "", "network": "EXTERNAL", "network_stack": "IPV4", "type": "REGIONAL_NETWORK",
		"region": where.wire(),
	}
}

// healthCheck is what the cluster's cloud controller asks for: a connection to the port that the first rule leads to.
func (b belonging) healthCheck() map[string]any {
	target := 80
	if len(b.Ports) > 0 && b.Ports[0].Target > 0 {
		target = b.Ports[0].Target
	}
	return map[string]any{"protocol": "tcp", "port": target, "path": "", "check_interval_seconds": 3, "response_timeout_seconds": 5,
		"healthy_threshold": 5, "unhealthy_threshold": 3}
}

func (b belonging) wireVolume() map[string]any {
	where, _ := findRegion(b.Region)
	description, tags := b.Description, append([]string{}, b.Tags...)
	if b.Cluster != "" {
		description, tags = "Created by the Kubernetes CSI driver", []string{"k8s:" + b.Cluster}
	}
	return map[string]any{
		"id": b.ID, "name": b.Name, "description": description, "size_gigabytes": b.SizeGiB,
		"created_at": stamp(b.CreatedAt), "droplet_ids": []int{}, "filesystem_type": "", "filesystem_label": "",
		"tags":   tags,
		"region": where.wire(),
	}
}

func listLoadBalancers(c *exchange) (reply, error) {
	return c.listBelongings(kindLoadBalancer, "load_balancers", belonging.wireBalancer)
}

func listVolumes(c *exchange) (reply, error) {
	return c.listBelongings(kindVolume, "volumes", belonging.wireVolume)
}

func (c *exchange) listBelongings(kind, key string, wire func(belonging) map[string]any) (reply, error) {
	query := c.Request.URL.Query()
	wires := []map[string]any{}
	err := c.View(func(tx *world.Tx) error {
		all, err := world.List[belonging](tx, ref(kind, ""))
		for _, b := range all {
			if (query.Get("name") == "" || query.Get("name") == b.Name) && (query.Get("region") == "" || query.Get("region") == b.Region) {
				wires = append(wires, wire(b))
			}
		}
		return err
	})
	return reply{status: http.StatusOK, body: listed(pageOf(c.Request), key, wires)}, err
}

func getLoadBalancer(c *exchange) (reply, error) {
	return c.getBelonging(kindLoadBalancer, "lb_id", "load_balancer", belonging.wireBalancer)
}

func getVolume(c *exchange) (reply, error) {
	return c.getBelonging(kindVolume, "volume_id", "volume", belonging.wireVolume)
}

func (c *exchange) getBelonging(kind, parameter, key string, wire func(belonging) map[string]any) (reply, error) {
	var b belonging
	err := c.View(func(tx *world.Tx) (err error) {
		b, err = world.Get[belonging](tx, ref(kind, c.Request.PathValue(parameter)))
		return err
	})
	return reply{status: http.StatusOK, body: map[string]any{key: wire(b)}}, err
}

func deleteLoadBalancer(c *exchange) (reply, error) {
	return c.deleteBelonging(kindLoadBalancer, "lb_id")
}

func deleteVolume(c *exchange) (reply, error) { return c.deleteBelonging(kindVolume, "volume_id") }

// deleteBelonging deletes what a cluster left behind. What a living cluster still has would be found again at the next look.
func (c *exchange) deleteBelonging(kind, parameter string) (reply, error) {
	err := c.Commit(func(tx *world.Tx) error {
		b, err := world.Get[belonging](tx, ref(kind, c.Request.PathValue(parameter)))
		if err != nil {
			return err
		}
		if _, err := loadFamily(tx, b.Cluster); err == nil {
			return conflict(fmt.Sprintf("%s is in use by a Kubernetes cluster: delete it there", b.Name))
		} else if !isNotFound(err) {
			return err
		}
		effect := c.Effect(world.Deleted, kind, b.ID, b.Name)
		effect.Parent = b.Cluster
		return errors.Join(tx.Delete(ref(kind, b.ID)), tx.Record(effect))
	})
	return reply{status: http.StatusNoContent}, err
}
