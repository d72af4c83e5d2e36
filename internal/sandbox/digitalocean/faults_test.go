package digitalocean_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/world"
)

func TestFaultsBeforeAnythingIsDone(t *testing.T) {
	for _, f := range []struct {
		fault  world.Fault
		status int
		words  string
	}{
		{world.Fault{Fault: world.Throttle}, http.StatusTooManyRequests, "rate limit exceeded"},
		{world.Fault{Fault: world.ServerError}, http.StatusInternalServerError, "server-side error"},
		{world.Fault{Fault: world.ServerError, Status: 503}, http.StatusServiceUnavailable, "unavailable"},
		{world.Fault{Fault: world.Quota}, http.StatusUnprocessableEntity, "will exceed your droplet limit"},
		{world.Fault{Fault: world.Denied}, http.StatusForbidden, "not authorized"},
	} {
		c := newCloud(t)
		f.fault.Operation, f.fault.Match, f.fault.After = "kubernetes_create_cluster", "lon*", 1
		c.inject(f.fault)
		c.cluster("nyc1", 1) // another name
		c.cluster("lon1", 1) // left alone first
		before := len(c.existing())
		_, _, err := c.Kubernetes.Create(c.ctx, clusterRequest("lon2", 1))
		refused(t, err, f.status, f.words)
		if len(c.existing()) != before {
			t.Errorf("%s changed something", f.fault.Fault)
		}
		c.cluster("lon2", 1) // once only
		c.balanced()
	}
}

func TestThrottledAnswerSaysWhenToComeBack(t *testing.T) {
	c := newCloud(t)
	c.inject(world.Fault{Operation: "account_get", Fault: world.Throttle})
	_, response, err := c.Account.Get(c.ctx)
	refused(t, err, http.StatusTooManyRequests, "")
	equal(t, "retry-after", response.Header.Get("Retry-After"), "1")
	equal(t, "remaining", response.Rate.Remaining, 0)
}

func TestLostAnswerComesAfterTheCommit(t *testing.T) {
	c := newCloud(t)
	c.inject(world.Fault{Operation: "kubernetes_create_cluster", Fault: world.Lost})
	_, _, err := c.Kubernetes.Create(c.ctx, clusterRequest("lon1", 1))
	var answer *godo.ErrorResponse
	if err == nil || errors.As(err, &answer) {
		t.Fatalf("the answer is not lost: %v", err)
	}
	all, _, err := c.Kubernetes.List(c.ctx, nil)
	must(t, err)
	equal(t, "clusters", len(all), 1)
	_, _, err = c.Kubernetes.Create(c.ctx, clusterRequest("lon1", 1))
	refused(t, err, http.StatusUnprocessableEntity, "already exists")
	c.balanced()
}

func TestLostRequestComesBeforeTheCommit(t *testing.T) {
	c := newCloud(t)
	c.inject(world.Fault{Operation: "vpcs_create", Fault: world.LostBefore})
	if _, _, err := c.VPCs.Create(c.ctx, &godo.VPCCreateRequest{Name: "net-1", RegionSlug: "lon1"}); err == nil {
		t.Fatal("there was an answer")
	}
	equal(t, "what exists", len(c.existing()), 0)
	c.vpc("net-1")
}

func TestLostAnswerOfDeletion(t *testing.T) {
	c := newCloud(t)
	v := c.vpc("net-1")
	c.inject(world.Fault{Operation: "vpcs_delete", Match: "net-1", Fault: world.Lost})
	if _, err := c.VPCs.Delete(c.ctx, v.ID); err == nil {
		t.Fatal("there was an answer")
	}
	equal(t, "what exists", len(c.existing()), 0)
	c.balanced()
}

func TestLostAnswerOfReads(t *testing.T) {
	c := newCloud(t)
	c.inject(world.Fault{Operation: "vpcs_list", Fault: world.Lost, After: 1, Times: -1})
	_, _, err := c.VPCs.List(c.ctx, nil)
	must(t, err)
	// Go's client asks again by itself when a connection that worked is closed, so that once would not show.
	if _, _, err := c.VPCs.List(c.ctx, nil); err == nil {
		t.Error("the second answer arrived")
	}
	must(t, c.world.Update(c.ctx, (*world.Tx).ClearFaults))
	_, _, err = c.VPCs.List(c.ctx, nil)
	must(t, err)
}

func TestStuckClusterNeverRunsButCanBeDeleted(t *testing.T) {
	c := newCloud(t)
	c.inject(world.Fault{Operation: "kubernetes_create_cluster", Fault: world.Stuck})
	stuck := c.cluster("lon1", 1)
	fine := c.cluster("lon2", 1)
	c.waitState(fine.ID, godo.KubernetesClusterStatusRunning)
	time.Sleep(300 * time.Millisecond)
	equal(t, "state", c.get(stuck.ID).Status.State, godo.KubernetesClusterStatusProvisioning)
	equal(t, "clusters that run", len(c.runner.Running()), 1)
	_, err := c.Kubernetes.Delete(c.ctx, stuck.ID)
	must(t, err)
	c.waitGone(stuck.ID)
	c.balanced()
}

func TestLateFailure(t *testing.T) {
	c := newCloud(t)
	c.inject(world.Fault{Operation: "kubernetes_*", Fault: world.Late})
	cluster := c.cluster("lon1", 1)
	equal(t, "state at first", c.get(cluster.ID).Status.State, godo.KubernetesClusterStatusProvisioning)
	cluster = c.waitState(cluster.ID, godo.KubernetesClusterStatusError)
	if cluster.Status.Message == "" {
		t.Error("the failure has no words")
	}
}

func TestLateFailureOfNodes(t *testing.T) {
	c := newCloud(t)
	cluster := c.cluster("lon1", 1)
	c.waitState(cluster.ID, godo.KubernetesClusterStatusRunning)
	pool := cluster.NodePools[0].ID
	c.inject(world.Fault{Operation: "kubernetes_update_nodePool", Fault: world.Late})
	for _, n := range []int{2, 1} {
		_, _, err := c.Kubernetes.UpdateNodePool(c.ctx, cluster.ID, pool, &godo.KubernetesNodePoolUpdateRequest{Count: &n})
		must(t, err)
		if n == 2 {
			c.waitState(cluster.ID, godo.KubernetesClusterStatusDegraded)
		}
	}
	c.waitState(cluster.ID, godo.KubernetesClusterStatusRunning)
	eventually(t, "the node is gone", func() bool { return len(c.get(cluster.ID).NodePools[0].Nodes) == 1 })
	c.balanced()
}

// What goes passes over a late failure, and leaves it to what is made.
func TestLateFailureIsNotSpentOnWhatGoes(t *testing.T) {
	c := newCloud(t)
	cluster := c.cluster("lon1", 2)
	c.waitState(cluster.ID, godo.KubernetesClusterStatusRunning)
	c.inject(world.Fault{Operation: "kubernetes_*", Fault: world.Late})
	one := 1
	_, _, err := c.Kubernetes.UpdateNodePool(c.ctx, cluster.ID, cluster.NodePools[0].ID, &godo.KubernetesNodePoolUpdateRequest{Count: &one})
	must(t, err)
	eventually(t, "the node is gone", func() bool { return len(c.get(cluster.ID).NodePools[0].Nodes) == 1 })
	_, err = c.Kubernetes.Delete(c.ctx, cluster.ID)
	must(t, err)
	c.waitGone(cluster.ID)
	c.waitState(c.cluster("lon2", 1).ID, godo.KubernetesClusterStatusError)
}

func TestStuckDeletion(t *testing.T) {
	c := newCloud(t)
	cluster := c.cluster("lon1", 1)
	c.inject(world.Fault{Operation: "kubernetes_delete_cluster", Fault: world.Stuck})
	_, err := c.Kubernetes.Delete(c.ctx, cluster.ID)
	must(t, err)
	time.Sleep(300 * time.Millisecond)
	equal(t, "state", c.get(cluster.ID).Status.State, godo.KubernetesClusterStatusDeleted)
}

func TestSlow(t *testing.T) {
	c := newCloud(t)
	c.inject(world.Fault{Operation: "account_get", Fault: world.Slow, Delay: "200ms", Times: 2})
	for range 2 {
		begun := time.Now()
		_, _, err := c.Account.Get(c.ctx)
		must(t, err)
		if took := time.Since(begun); took < 200*time.Millisecond {
			t.Errorf("it took %s", took)
		}
	}
	begun := time.Now()
	_, _, err := c.Account.Get(c.ctx)
	must(t, err)
	if took := time.Since(begun); took >= 200*time.Millisecond {
		t.Errorf("it still took %s", took)
	}
}

func TestBelongingsOutliveTheClusterUnlessAskedFor(t *testing.T) {
	c := newCloud(t)
	v := c.vpc("net-1")
	c.runner.Made(clusters.Inventory{
		LoadBalancers: []clusters.LoadBalancer{{UID: "1", Name: "a1", IP: "127.0.0.9", Ports: []clusters.Port{{Protocol: "tcp", Port: 80}}}},
		Volumes:       []clusters.Volume{{UID: "2", Name: "pvc-2", SizeGiB: 5}},
	})
	for _, dangerous := range []bool{false, true} {
		request := clusterRequest("lon1", 1)
		request.VPCUUID = v.ID
		cluster, _, err := c.Kubernetes.Create(c.ctx, request)
		must(t, err)
		c.waitState(cluster.ID, godo.KubernetesClusterStatusRunning)
		balancers := c.belongings(cluster.ID, 1, 1).LoadBalancers
		_, err = c.LoadBalancers.Delete(c.ctx, balancers[0].ID)
		refused(t, err, http.StatusConflict, "in use")
		if dangerous {
			_, err = c.Kubernetes.DeleteDangerous(c.ctx, cluster.ID)
		} else {
			_, err = c.Kubernetes.Delete(c.ctx, cluster.ID)
		}
		must(t, err)
		c.waitGone(cluster.ID)
		if !dangerous {
			c.deleteLeftovers(v.ID, balancers[0].ID)
		}
	}
	_, err := c.VPCs.Delete(c.ctx, v.ID)
	must(t, err)
	equal(t, "what is left", len(c.existing()), 0)
	c.balanced()
}

// belongings waits until the cloud has seen what the cluster made.
func (c *cloud) belongings(id string, balancers, volumes int) *godo.KubernetesAssociatedResources {
	c.t.Helper()
	var all *godo.KubernetesAssociatedResources
	eventually(c.t, "the cloud sees what the cluster made", func() (seen bool) {
		var err error
		all, _, err = c.Kubernetes.ListAssociatedResourcesForDeletion(c.ctx, id)
		must(c.t, err)
		return len(all.LoadBalancers) == balancers && len(all.Volumes) == volumes
	})
	return all
}

// TestSlowAPIServerHoldsNothingUp: an API server that has just come up answers slowly, and so does one with much in it.
func TestSlowAPIServerHoldsNothingUp(t *testing.T) {
	c := newCloudAt(t, 0.0001, 25)
	answer := c.runner.HoldInspections()
	var ids []string
	for _, name := range []string{"lon1", "nyc3", "sgp1"} {
		c.runner.SetReady(name, false)
		ids = append(ids, c.cluster(name, 1).ID)
	}
	time.Sleep(200 * time.Millisecond) // until nothing but their clusters is missing
	ready := time.Now()
	for _, name := range []string{"lon1", "nyc3", "sgp1"} {
		c.runner.SetReady(name, true)
	}
	for _, id := range ids {
		c.waitState(id, godo.KubernetesClusterStatusRunning)
	}
	for _, e := range c.ledger() {
		if e.State == "running" && e.Resource == "kubernetes_cluster" {
			late := e.ReadyAt.Sub(ready)
			t.Logf("%s is running %s after it was ready", e.Name, late)
			if late > time.Second { // a tenth of that, on a machine that is not busy
				t.Errorf("%s is running only %s after it was ready", e.Name, late)
			}
		}
	}
	answer()
}

// deleteLeftovers deletes what a cluster left: the load balancer keeps the VPC, the volume costs.
func (c *cloud) deleteLeftovers(vpc, balancer string) {
	c.t.Helper()
	_, err := c.VPCs.Delete(c.ctx, vpc)
	refused(c.t, err, http.StatusConflict, "members")
	_, err = c.LoadBalancers.Delete(c.ctx, balancer)
	must(c.t, err)
	volumes, _, err := c.Storage.ListVolumes(c.ctx, nil)
	must(c.t, err)
	equal(c.t, "volumes", len(volumes), 1)
	_, err = c.Storage.DeleteVolume(c.ctx, volumes[0].ID)
	must(c.t, err)
}

func TestSelectiveDeletion(t *testing.T) {
	c := newCloud(t)
	c.runner.Made(clusters.Inventory{Volumes: []clusters.Volume{{UID: "1", Name: "pvc-1"}, {UID: "2", Name: "pvc-2"}}})
	cluster := c.cluster("lon1", 1)
	c.waitState(cluster.ID, godo.KubernetesClusterStatusRunning)
	associated := c.belongings(cluster.ID, 0, 2)
	_, err := c.Kubernetes.DeleteSelective(c.ctx, cluster.ID, &godo.KubernetesClusterDeleteSelectiveRequest{Volumes: []string{"none"}})
	refused(t, err, http.StatusUnprocessableEntity, "not associated")
	_, err = c.Kubernetes.DeleteSelective(c.ctx, cluster.ID, &godo.KubernetesClusterDeleteSelectiveRequest{Volumes: []string{associated.Volumes[0].ID}})
	must(t, err)
	c.waitGone(cluster.ID)
	volumes, _, err := c.Storage.ListVolumes(c.ctx, nil)
	must(t, err)
	equal(t, "volumes that stay", len(volumes), 1)
	equal(t, "volume", volumes[0].ID, associated.Volumes[1].ID)
	c.balanced()
}
