package digitalocean

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

func TestTheNewestPatchIsTaken(t *testing.T) {
	var offered []*godo.KubernetesVersion
	for _, slug := range []string{"1.34.9-do.3", "1.34.10-do.0", "1.34.10-do.2", "1.33.99-do.0", "1.3.40-do.0", "latest"} {
		offered = append(offered, &godo.KubernetesVersion{Slug: slug})
	}
	for minor, want := range map[string]string{"1.34": "1.34.10-do.2", "1.33": "1.33.99-do.0", "1.3": "1.3.40-do.0"} {
		if got, err := newest(offered, minor); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", minor, got, err, want)
		}
	}
	_, err := newest(offered, "1.35")
	if !fault.Is(err, fault.Invalid) || fault.Message(err) != "DigitalOcean does not offer Kubernetes 1.35; it offers 1.34, 1.33, 1.3" {
		t.Errorf("got %v", err)
	}
}

func madeOf(status string, count int, nodes ...string) *cluster {
	c := &cluster{ID: "c", Status: state{State: status}, Pools: []nodePool{{Count: count}}}
	for _, n := range nodes {
		c.Pools[0].Nodes = append(c.Pools[0].Nodes, struct {
			Status state `json:"status"`
		}{state{State: n}})
	}
	return c
}

func TestAClusterIsReadyWhenAllItsNodesRun(t *testing.T) {
	for name, c := range map[string]struct {
		cluster *cluster
		ready   bool
		broken  bool
		nodes   int
	}{
		"all run":              {madeOf("running", 2, "running", "running"), true, false, 2},
		"one is coming":        {madeOf("running", 2, "running", "provisioning"), false, false, 1},
		"one is not there yet": {madeOf("running", 2, "running"), false, false, 1},
		"one is leaving":       {madeOf("running", 1, "running", "draining"), false, false, 1},
		"none asked for":       {madeOf("running", 0), false, false, 0},
		"provisioning":         {madeOf("provisioning", 1, "running"), false, false, 1},
		"degraded":             {madeOf("degraded", 1, "running"), false, false, 1},
		"upgrading":            {madeOf("upgrading", 1, "running"), false, false, 1},
		"a state to come":      {madeOf("hibernating", 1, "running"), false, false, 1},
		"error":                {madeOf("error", 1), false, true, 0},
		"invalid":              {madeOf("invalid", 1), false, true, 0},
	} {
		got := c.cluster.region()
		if got.Ready != c.ready || got.Broken != c.broken || got.Nodes != c.nodes {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

// One cluster in a state that godo does not know must not hide all the others.
func TestStatesThatTheSDKDoesNotKnowAreRead(t *testing.T) {
	p := account(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"kubernetes_clusters":[
			{"id":"a","name":"another","status":{"state":"deleting"}},
			{"id":"b","name":"m3o-micro-lon1","tags":["m3o","m3o:micro:lon1"],"status":{"state":"running"}}]}`))
	})
	spec := region.Spec{Platform: "micro", Name: "lon1"}.ClusterSpec(region.Net{})
	got, err := p.ours(t.Context(), spec)
	if err != nil || got.ID != "b" || got.Status.State != "running" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestPricesAreDecimals(t *testing.T) {
	want := region.Spec{Kubernetes: region.Kubernetes{Nodes: region.Nodes{Count: 3}}}
	if got := monthly(want, &godo.Size{PriceMonthly: 24}); got != (region.Cost{Amount: "72.00", Currency: "USD"}) {
		t.Errorf("got %+v", got)
	}
	want.Network = []region.Part{region.API}
	if got := monthly(want, &godo.Size{PriceMonthly: 0.1 + 0.2}); got.Amount != "12.90" {
		t.Errorf("got %+v", got)
	}
}

// A cluster that is running, and whose kubeconfig is not there, is only just coming up again: that passes.
func TestAKubeconfigThatIsNotThereYetMayCome(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"not found": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"id":"not_found","message":"the cluster is not ready to be accessed yet"}`))
		},
		"empty": func(http.ResponseWriter, *http.Request) {},
	} {
		p := account(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v2/kubernetes/clusters" {
				answer(w, r)
				return
			}
			_, _ = w.Write([]byte(`{"kubernetes_clusters":[{"id":"c","name":"m3o-micro-lon1","tags":["m3o:micro:lon1"],"status":{"state":"running"}}]}`))
		})
		_, err := p.Access(t.Context(), region.Spec{Platform: "micro", Name: "lon1"}.ClusterSpec(region.Net{}))
		if !fault.Is(err, fault.Unavailable) || fault.Of(err).Permanent() {
			t.Errorf("%s: got %v of kind %s", name, err, fault.Of(err))
		}
	}
}

// A cluster that is being deleted keeps its name, but does not stand before one that lives.
func TestTheLivingOfOneNameIsFound(t *testing.T) {
	for state, want := range map[string]string{"deleting": "b", "deleted": "b", "running": "c"} {
		p := account(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"kubernetes_clusters":[
				{"id":"b","name":"m3o-micro-lon1","tags":["m3o:micro:lon1"],"status":{"state":"deleted"}},
				{"id":"c","name":"m3o-micro-lon1","tags":["m3o:micro:lon1"],"status":{"state":"` + state + `"}}]}`))
		})
		got, err := p.ours(t.Context(), region.Spec{Platform: "micro", Name: "lon1"}.ClusterSpec(region.Net{}))
		if err != nil || got.ID != want || got.region().Ready {
			t.Errorf("%s: got %+v, %v", state, got, err)
		}
	}
}

// What a cluster left is removed by the cluster's own tag, a few at a time. What merely lies in the region's network may be
// somebody's.
func TestOnlyWhatTheClusterLeftIsSwept(t *testing.T) {
	var deleted []string
	left := map[string]string{
		"/v2/kubernetes/clusters": `{"kubernetes_clusters":[]}`,
		"/v2/load_balancers":      `{"load_balancers":[{"id":"l1","name":"ours","tag":"k8s:c"},{"id":"l2","name":"somebody's","vpc_uuid":"v1"}]}`,
		"/v2/volumes": `{"volumes":[{"id":"o1","tags":["k8s:c"]},{"id":"o2","tags":["k8s:c"]},{"id":"o3","tags":["k8s:c"]},{"id":"o4","tags":["k8s:c"]},
			{"id":"o5","tags":["k8s:c"]},{"id":"o6","tags":["k8s:another"]}]}`,
	}
	p := account(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			deleted = append(deleted, r.URL.Path)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		_, _ = w.Write([]byte(left[r.URL.Path]))
	})
	spec := region.Spec{Platform: "micro", Name: "lon1"}.ClusterSpec(region.Net{ID: "v1"})
	if now, err := p.DeleteCluster(t.Context(), spec, ""); err != nil || !now.Gone || len(deleted) > 0 {
		t.Errorf("of a cluster whose id nobody knows: %+v, %v, deleted %v", now, err, deleted)
	}
	spec.ID = "c"
	now, err := p.DeleteCluster(t.Context(), spec, "")
	want := []string{"/v2/load_balancers/l1", "/v2/volumes/o1", "/v2/volumes/o2", "/v2/volumes/o3", "/v2/volumes/o4"}
	if err != nil || now.Gone || !strings.Contains(now.State, "load balancer ours (l1)") || !slices.Equal(deleted, want) {
		t.Errorf("got %+v, %v, deleted %v", now, err, deleted)
	}
	left["/v2/load_balancers"], left["/v2/volumes"] = `{"load_balancers":[{"id":"l2","vpc_uuid":"v1"}]}`, `{"volumes":[{"id":"o6","tags":["k8s:another"]}]}`
	if now, err := p.DeleteCluster(t.Context(), spec, ""); err != nil || !now.Gone || len(deleted) != len(want) {
		t.Errorf("when it is gone: %+v, %v, deleted %v", now, err, deleted)
	}
}

// That somebody's cluster has taken the name of one that is gone changes nothing of what that one left.
func TestWhatTheClusterLeftIsSweptBesideAStrangersCluster(t *testing.T) {
	left := map[string]string{
		"/v2/kubernetes/clusters": `{"kubernetes_clusters":[{"id":"x","name":"m3o-micro-lon1","tags":["theirs"],"status":{"state":"running"}}]}`,
		"/v2/load_balancers":      `{"load_balancers":[{"id":"l1","name":"ours","tag":"k8s:c"}]}`,
		"/v2/volumes":             `{"volumes":[]}`,
	}
	p := account(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			if r.URL.Path != "/v2/load_balancers/l1" {
				t.Errorf("deleted is %s", r.URL.Path)
			}
			left["/v2/load_balancers"] = `{"load_balancers":[]}`
			w.WriteHeader(http.StatusNoContent)
			return
		}
		_, _ = w.Write([]byte(left[r.URL.Path]))
	})
	spec := region.Spec{Platform: "micro", Name: "lon1"}.ClusterSpec(region.Net{ID: "v1"})
	spec.ID = "c"
	if now, err := p.DeleteCluster(t.Context(), spec, ""); err != nil || now.Gone || !strings.Contains(now.State, "load balancer ours (l1)") {
		t.Errorf("with something left: %+v, %v", now, err)
	}
	if now, err := p.DeleteCluster(t.Context(), spec, ""); err != nil || !now.Gone {
		t.Errorf("with nothing left: %+v, %v", now, err)
	}
}

// Names keep to their limits, differ where the regions' do, and are found again from the cluster's own.
func TestNamesKeepToTheirLimits(t *testing.T) {
	named := map[string]bool{}
	for _, end := range []string{"a", "b"} {
		of := region.Spec{Platform: strings.Repeat("p", 40), Name: strings.Repeat("r", 39) + end}
		spec := of.ClusterSpec(region.Net{})
		c, pool, network := clusterName(spec), poolName(spec), networkName(of.NetworkSpec())
		if len(c) > 63 || len(pool) > 57 || len(network) > 63 {
			t.Errorf("%s, %s, %s", c, pool, network)
		}
		if again := poolName(region.ClusterSpec{Name: c}); again != pool {
			t.Errorf("the pool is %s, and %s from the cluster's name", pool, again)
		}
		named[c], named[pool] = true, true
	}
	if len(named) != 4 {
		t.Errorf("names are shared: %v", named)
	}
	if short := (region.ClusterSpec{Name: "m3o-micro-lon1"}); clusterName(short) != "m3o-micro-lon1" || poolName(short) != "m3o-micro-lon1-nodes" {
		t.Errorf("short names are %s, %s", clusterName(short), poolName(short))
	}
}

func TestTagsAreBareWords(t *testing.T) {
	key := region.Key{Platform: "micro", Name: "lon1"}
	want := []string{"m3o:micro:lon1", "m3o-platform:micro", "m3o-region:lon1", "managed-by:m3o"}
	if got := marks(key, key.Tags()); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
