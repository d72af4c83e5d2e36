package digitalocean

import (
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/region"
)

// answers serves one fixed answer for each path.
func answers(t *testing.T, bodies map[string]string) *Provider {
	t.Helper()
	return account(t, func(w http.ResponseWriter, r *http.Request) {
		body, known := bodies[r.URL.Path]
		if !known {
			t.Errorf("asked for %s", r.URL.Path)
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write([]byte(body))
	})
}

// What a cluster makes in the account carries only the cluster's tag, or nothing but the network it lies in.
func TestWhatOurClusterMadeIsOurs(t *testing.T) {
	p := answers(t, map[string]string{
		"/v2/vpcs": `{"vpcs":[{"id":"v1","name":"m3o-micro-lon1","description":"m3o:micro:lon1"},{"id":"v2","name":"m3o-micro-lon1b","description":"m3o:micro:lon1b"},
			{"id":"v3","name":"renamed","description":"m3o:micro:lon1 do not touch"}]}`,
		"/v2/kubernetes/clusters": `{"kubernetes_clusters":[{"id":"c1","name":"m3o-micro-lon1","tags":["k8s","m3o:micro:lon1"],"status":{"state":"deleting"}},
			{"id":"c2","name":"other","tags":["m3o","m3o:micro:lon1b"],"vpc_uuid":"v2","status":{"state":"running"}},
			{"id":"c3","name":"other","tags":["other"],"vpc_uuid":"v3","status":{"state":"deleted"}},
			{"id":"c4","name":"untagged","tags":["k8s","k8s:c4"],"status":{"state":"deleted"}}]}`,
		"/v2/load_balancers": `{"load_balancers":[{"id":"l1","name":"by network","vpc_uuid":"v1"},{"id":"l2","name":"by tag","tag":"k8s:c1"},
			{"id":"l3","name":"other","vpc_uuid":"v2"},{"id":"l4","name":"nobody's"}]}`,
		"/v2/volumes": `{"volumes":[{"id":"o1","name":"pvc-1","tags":["k8s:c1"]},{"id":"o2","name":"pvc-2","tags":["k8s:c2"]},{"id":"o3","name":"pvc-3"},
			{"id":"o4","name":"pvc-4","tags":["k8s:c4"]},{"id":"o5","name":"pvc-5","tags":["k8s","k8s:gone"]},{"id":"o6","name":"pvc-6","tags":["k8s:another"]}]}`,
	})
	got, err := p.Owned(t.Context(), region.Key{Platform: "micro", Name: "lon1"}, "lon1", "gone", "c4")
	if err != nil {
		t.Fatal(err)
	}
	want := []region.Resource{
		{Kind: "vpc", ID: "v1", Name: "m3o-micro-lon1"},
		{Kind: "vpc", ID: "v3", Name: "renamed"},
		{Kind: "kubernetes cluster", ID: "c1", Name: "m3o-micro-lon1"},
		{Kind: "kubernetes cluster", ID: "c3", Name: "other"},
		{Kind: "kubernetes cluster", ID: "c4", Name: "untagged"},
		{Kind: "load balancer", ID: "l1", Name: "by network"},
		{Kind: "load balancer", ID: "l2", Name: "by tag"},
		{Kind: "volume", ID: "o1", Name: "pvc-1"},
		{Kind: "volume", ID: "o4", Name: "pvc-4"},
		{Kind: "volume", ID: "o5", Name: "pvc-5"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestObstaclesAreFoundAllAtOnce(t *testing.T) {
	p := answers(t, map[string]string{
		"/v2/account": `{"account":{"droplet_limit":10,"status":"locked","status_message":"please verify your card"}}`,
		"/v2/kubernetes/options": `{"options":{"versions":[{"slug":"1.33.4-do.0"}],"regions":[{"slug":"nyc3"},{"slug":"lon1"}],
			"sizes":[{"slug":"s-2vcpu-4gb"},{"slug":"c-4"}]}}`,
		"/v2/sizes":               `{"sizes":[{"slug":"s-2vcpu-4gb","price_monthly":24,"available":true,"regions":["nyc3"]}]}`,
		"/v2/kubernetes/clusters": `{"kubernetes_clusters":[{"id":"c","node_pools":[{"count":2}]}]}`,
		"/v2/droplets":            `{"droplets":[],"meta":{"total":8}}`,
	})
	want := region.Spec{Location: "lon1", Kubernetes: region.Kubernetes{Version: "1.34", Nodes: region.Nodes{Count: 3, Size: "s-2vcpu-4gb"}}}
	got, err := p.Preflight(t.Context(), want, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct{ kind, words string }{
		{"denied", "please verify your card"},
		{"invalid", "offers 1.33"},
		{"invalid", "in lon1 now; it has them in nyc3"},
		{"quota", "limit of 10: 8 droplets"},
	} {
		if len(got.Obstacles) != 4 || got.Obstacles[i].Kind != c.kind || !strings.Contains(got.Obstacles[i].Message, c.words) {
			t.Fatalf("got %+v, want %+v", got.Obstacles, c)
		}
	}
	if got.Monthly.Amount != "72.00" {
		t.Errorf("the price is %+v", got.Monthly)
	}
	if want := []region.Draw{{Pool: "droplets", Adds: 3, Left: 2, Limit: 10}}; !reflect.DeepEqual(got.Draws, want) {
		t.Errorf("it draws %+v, want %+v", got.Draws, want)
	}
	have := want
	want.Kubernetes.Nodes.Count = 5 // two more fit
	if got, err = p.Preflight(t.Context(), want, &have); err != nil || len(got.Obstacles) != 2 {
		t.Errorf("a region that grows: %+v, %v", got.Obstacles, err)
	}
	want.Location, want.Kubernetes.Nodes.Size = "lon2", "s-2vcpu-8gb"
	if got, err = p.Preflight(t.Context(), want, &have); err != nil || len(got.Obstacles) != 3 ||
		!strings.Contains(got.Obstacles[1].Message, `did you mean "lon1"?`) || !strings.Contains(got.Obstacles[2].Message, `did you mean "s-2vcpu-4gb"?`) {
		t.Errorf("misspelt: %+v, %v", got.Obstacles, err)
	}
}

// What the region has already counts among what is used, not among what is to come.
func TestOnlyWhatIsAddedIsCounted(t *testing.T) {
	at := func(version string, count int) region.Spec {
		return region.Spec{Platform: "micro", Name: "lon1", Location: "lon1",
			Kubernetes: region.Kubernetes{Version: version, Nodes: region.Nodes{Count: count, Size: "s-2vcpu-4gb"}}}
	}
	have := at("1.33", 4)
	for name, c := range map[string]struct {
		state  string // of the region's cluster of 4 nodes; there are 8 droplets, and the limit is 10
		want   region.Spec
		have   *region.Spec
		kinds  string
		places string // where the size is to be had
	}{
		"a new region":                       {"", at("1.33", 4), nil, "quota", `"lon1"`},
		"a new region that fits":             {"", at("1.33", 2), nil, "", `"lon1"`},
		"one whose answer was lost":          {"running", at("1.33", 6), nil, "", `"lon1"`},
		"one too many after a lost answer":   {"running", at("1.33", 7), nil, "quota", `"lon1"`},
		"one in the place of one that goes":  {"deleted", at("1.33", 4), nil, "quota", `"lon1"`},
		"two more":                           {"running", at("1.33", 6), &have, "", `"lon1"`},
		"three more":                         {"running", at("1.33", 7), &have, "quota", `"lon1"`},
		"fewer":                              {"running", at("1.33", 1), &have, "", `"lon1"`},
		"no more, where there are no more":   {"running", at("1.33", 4), &have, "", ``},
		"one more, where there are no more":  {"running", at("1.33", 5), &have, "invalid", ``},
		"another version":                    {"running", at("1.34", 4), &have, "", `"lon1"`},
		"another version that nobody offers": {"running", at("1.99", 4), &have, "invalid", `"lon1"`},
	} {
		ours := ""
		if c.state != "" {
			ours = `{"id":"c","name":"m3o-micro-lon1","tags":["m3o:micro:lon1"],"status":{"state":"` + c.state + `"},"node_pools":[{"count":4}]}`
		}
		p := answers(t, map[string]string{
			"/v2/account": `{"account":{"droplet_limit":10,"status":"active"}}`,
			"/v2/kubernetes/options": `{"options":{"versions":[{"slug":"1.34.1-do.0"},{"slug":"1.33.4-do.0"}],"regions":[{"slug":"lon1"}],
				"sizes":[{"slug":"s-2vcpu-4gb"}]}}`,
			"/v2/sizes":               `{"sizes":[{"slug":"s-2vcpu-4gb","price_monthly":24,"available":true,"regions":[` + c.places + `]}]}`,
			"/v2/kubernetes/clusters": `{"kubernetes_clusters":[` + ours + `]}`,
			"/v2/droplets":            `{"droplets":[],"meta":{"total":8}}`,
		})
		got, err := p.Preflight(t.Context(), c.want, c.have)
		var kinds []string
		for _, o := range got.Obstacles {
			kinds = append(kinds, o.Kind)
		}
		if err != nil || strings.Join(kinds, " ") != c.kinds {
			t.Errorf("%s: got %+v, %v, want %q", name, got.Obstacles, err, c.kinds)
		}
		if want := strconv.Itoa(24*c.want.Kubernetes.Nodes.Count) + ".00"; got.Monthly.Amount != want {
			t.Errorf("%s: the price is %s, want %s", name, got.Monthly.Amount, want)
		}
	}
}

// A token that may not list droplets still gets an answer, by the nodes of the clusters.
func TestNodesAreCountedWhenDropletsCannotBe(t *testing.T) {
	p := account(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/droplets" {
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = w.Write([]byte(`{"kubernetes_clusters":[{"id":"c","node_pools":[{"count":2},{"count":3}]}]}`))
	})
	if used, mine, err := p.droplets(t.Context(), region.ClusterSpec{}); err != nil || used != 5 || mine != nil {
		t.Errorf("got %d, of which ours %+v, %v", used, mine, err)
	}
}

// What a region leaves out is what it has already, else the newest version and the cheapest nodes that are large enough there.
func TestWhatIsLeftOutIsFilledIn(t *testing.T) {
	at := func(location string, k region.Kubernetes) region.Spec {
		return region.Spec{Platform: "micro", Name: "lon1", Location: location, Kubernetes: k}
	}
	cluster := func(version string, count int, size string) region.Kubernetes {
		return region.Kubernetes{Version: version, Nodes: region.Nodes{Count: count, Size: size}}
	}
	const ours = `{"id":"c","name":"m3o-micro-lon1","version":"1.33.4-do.0","tags":["m3o:micro:lon1"],"status":{"state":"running"},
		"node_pools":[{"name":"other","size":"s-8","count":9},{"name":"m3o-micro-lon1-nodes","size":"g-2","count":2}]}`
	for name, c := range map[string]struct {
		ours      string
		want      region.Spec
		get       region.Kubernetes
		obstacles string
	}{
		"everything":                    {"", at("lon1", region.Kubernetes{}), cluster("1.34", 3, "s-2vcpu-4gb"), ""},
		"where the cheapest is not had": {"", at("nyc3", region.Kubernetes{}), cluster("1.34", 3, "g-2"), ""},
		"where none is large enough":    {"", at("ric1", region.Kubernetes{}), cluster("1.34", 3, ""), "DigitalOcean has no nodes of 2 vCPUs and 4 GiB or more in ric1 now: name a size in kubernetes.nodes.size"},
		"in a place that is none":       {"", at("lon2", region.Kubernetes{}), cluster("1.34", 3, "s-2vcpu-4gb"), `DigitalOcean has no Kubernetes in "lon2" (did you mean "lon1"?); it has it in lon1, nyc3, ric1`},
		"the version":                   {"", at("lon1", cluster("", 1, "s-8")), cluster("1.34", 1, "s-8"), ""},
		"the nodes":                     {"", at("lon1", cluster("1.33", 0, "")), cluster("1.33", 3, "s-2vcpu-4gb"), ""},
		"what its cluster has":          {ours, at("lon1", region.Kubernetes{}), cluster("1.33", 2, "g-2"), ""},
		"but for what is written":       {ours, at("lon1", cluster("1.34", 0, "")), cluster("1.34", 2, "g-2"), ""},
	} {
		p := answers(t, map[string]string{
			"/v2/account": `{"account":{"droplet_limit":100,"status":"active"}}`,
			"/v2/kubernetes/options": `{"options":{"versions":[{"slug":"1.33.4-do.0"},{"slug":"1.34.1-do.0"},{"slug":"1.9.9-do.0"}],"regions":[{"slug":"lon1"},{"slug":"nyc3"},{"slug":"ric1"}],
				"sizes":[{"slug":"s-1vcpu-2gb"},{"slug":"s-2vcpu-4gb"},{"slug":"s-2vcpu-4gb-z"},{"slug":"g-2"},{"slug":"s-8"}]}}`,
			"/v2/sizes": `{"sizes":[{"slug":"s-8","vcpus":8,"memory":16384,"price_monthly":96,"available":true,"regions":["lon1"]},
				{"slug":"droplet-only","vcpus":8,"memory":16384,"price_monthly":2,"available":true,"regions":["lon1"]},
				{"slug":"s-1vcpu-2gb","vcpus":1,"memory":2048,"price_monthly":12,"available":true,"regions":["lon1","nyc3","ric1"]},
				{"slug":"s-2vcpu-4gb-z","vcpus":2,"memory":4096,"price_monthly":24,"available":true,"regions":["lon1"]},
				{"slug":"s-2vcpu-4gb","vcpus":2,"memory":4096,"price_monthly":24,"available":true,"regions":["lon1"]},
				{"slug":"g-2","vcpus":2,"memory":8192,"price_monthly":63,"available":true,"regions":["lon1","nyc3"]}]}`,
			"/v2/kubernetes/clusters": `{"kubernetes_clusters":[` + c.ours + `]}`,
			"/v2/droplets":            `{"droplets":[],"meta":{"total":8}}`,
		})
		got, err := p.Preflight(t.Context(), c.want, nil)
		var obstacles []string
		for _, o := range got.Obstacles {
			obstacles = append(obstacles, o.Message)
		}
		if err != nil || got.Kubernetes != c.get || strings.Join(obstacles, "; ") != c.obstacles {
			t.Errorf("%s: got %+v, %q, %v, want %+v", name, got.Kubernetes, obstacles, err, c.get)
		}
	}
}
