package digitalocean_test

import (
	"net/http"
	"testing"

	"github.com/digitalocean/godo"
)

func TestPools(t *testing.T) {
	c := newCloud(t)
	cluster := c.cluster("lon1", 1)
	c.waitState(cluster.ID, godo.KubernetesClusterStatusRunning)
	pool, _, err := c.Kubernetes.CreateNodePool(c.ctx, cluster.ID, &godo.KubernetesNodePoolCreateRequest{Name: "big", Size: "c-4", Count: 2})
	must(t, err)
	count := func(state string) (n int) {
		got, _, err := c.Kubernetes.GetNodePool(c.ctx, cluster.ID, pool.ID)
		must(t, err)
		for _, node := range got.Nodes {
			if node.Status.State == state {
				n++
			}
		}
		return n
	}
	equal(t, "new nodes", count("provisioning"), 2)
	eventually(t, "nodes run", func() bool { return count("running") == 2 })
	for _, n := range []int{4, 1} {
		updated, _, err := c.Kubernetes.UpdateNodePool(c.ctx, cluster.ID, pool.ID, &godo.KubernetesNodePoolUpdateRequest{Count: &n})
		must(t, err)
		equal(t, "count", updated.Count, n)
		eventually(t, "pool has its count", func() bool { return count("running") == n && count("draining") == 0 })
	}
	got, _, err := c.Kubernetes.GetNodePool(c.ctx, cluster.ID, pool.ID)
	must(t, err)
	_, err = c.Kubernetes.DeleteNode(c.ctx, cluster.ID, pool.ID, got.Nodes[0].ID, &godo.KubernetesNodeDeleteRequest{Replace: true})
	must(t, err)
	eventually(t, "node is replaced", func() bool {
		now, _, err := c.Kubernetes.GetNodePool(c.ctx, cluster.ID, pool.ID)
		must(t, err)
		return len(now.Nodes) == 1 && now.Nodes[0].ID != got.Nodes[0].ID && now.Nodes[0].Status.State == "running"
	})
	_, err = c.Kubernetes.DeleteNodePool(c.ctx, cluster.ID, pool.ID)
	must(t, err)
	eventually(t, "pool is gone", func() bool { return len(c.get(cluster.ID).NodePools) == 1 })
	_, err = c.Kubernetes.DeleteNodePool(c.ctx, cluster.ID, cluster.NodePools[0].ID)
	refused(t, err, http.StatusUnprocessableEntity, "last node pool")
	c.balanced()
}
