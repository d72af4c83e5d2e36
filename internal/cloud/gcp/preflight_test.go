package gcp

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/region"
)

// memory is a project that answers from memory: by method and path, "" for everything that is not there.
type memory struct {
	t       *testing.T
	answers map[string]string
	lacks   string // a permission
	calls   []string
}

func (m *memory) answer(r *http.Request) (int, http.Header, string) {
	path := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/compute/v1/projects/acme-prod/"), "/v1/projects/acme-prod")
	m.calls = append(m.calls, r.Method+" "+path)
	if path == ":testIamPermissions" {
		data, err := io.ReadAll(r.Body)
		var asked struct{ Permissions []string }
		if err != nil || json.Unmarshal(data, &asked) != nil || len(asked.Permissions) > permissionsAtOnce {
			m.t.Errorf("asked %s, %v", data, err)
		}
		held := slices.DeleteFunc(asked.Permissions, func(p string) bool { return p == m.lacks })
		answer, err := json.Marshal(map[string]any{"permissions": held})
		if err != nil {
			m.t.Error(err)
		}
		return 200, nil, string(answer)
	}
	if body, there := m.answers[r.Method+" "+path]; there {
		return 200, nil, body
	}
	return 404, nil, `{"error":{"code":404,"message":"The resource was not found","errors":[{"reason":"notFound"}]}}`
}

// usual is a project in which a region fits.
func usual(t *testing.T) *memory {
	return &memory{t: t, answers: map[string]string{
		"GET /services:batchGet":                   `{"services":[{"name":"projects/1/services/compute.googleapis.com","state":"ENABLED"},{"name":"projects/1/services/container.googleapis.com","state":"ENABLED"}]}`,
		"GET regions":                              `{"items":[{"name":"europe-west1"},{"name":"us-east1"}]}`,
		"GET regions/europe-west1":                 `{"name":"europe-west1","status":"UP","zones":["https://x/zones/europe-west1-b"],"quotas":[{"metric":"CPUS","limit":24,"usage":4},{"metric":"N2_CPUS","limit":8,"usage":0},{"metric":"SSD_TOTAL_GB","limit":500,"usage":0},{"metric":"STATIC_ADDRESSES","limit":8,"usage":1}]}`,
		"GET aggregated/machineTypes":              `{"items":{"zones/europe-west1-b":{"machineTypes":[{"name":"e2-standard-2","guestCpus":2,"memoryMb":8192},{"name":"n2-standard-4","guestCpus":4,"memoryMb":16384},{"name":"x9-standard-2","guestCpus":2,"memoryMb":8192}]},"zones/us-east1-b":{"machineTypes":[{"name":"m9-big","guestCpus":9,"memoryMb":1}]}}}`,
		"GET /locations/europe-west1/serverConfig": `{"channels":[{"channel":"RAPID","validVersions":["1.36.0-gke.1"]},{"channel":"REGULAR","defaultVersion":"1.35.2-gke.7","validVersions":["1.35.2-gke.7","1.34.9-gke.1","1.34.10-gke.3"]}],"defaultClusterVersion":"1.30.0-gke.1"}`,
		"GET zones/europe-west1-b/machineTypes":    `{"items":[{"name":"e2-standard-2"},{"name":"e2-standard-4"}]}`,
	}}
}

func (m *memory) project(egress ...string) *Provider {
	p := projectWith(m.t, answers(func(r *http.Request) (int, http.Header, string) {
		if r.URL.Path == "/compute/v1/projects/acme-prod" {
			return 200, nil, `{"name":"acme-prod","quotas":[{"metric":"NETWORKS","limit":5,"usage":4},{"metric":"CPUS_ALL_REGIONS","limit":32,"usage":4}]}`
		}
		return m.answer(r)
	}))
	p.egress = egress
	return p
}

func inEurope(count int, size, version string) region.Spec {
	return region.Spec{Platform: "micro", Name: "ew1", Location: "europe-west1", CIDR: "10.20.0.0/16", Network: []region.Part{region.API},
		Kubernetes: region.Kubernetes{Version: version, Nodes: region.Nodes{Count: count, Size: size}}}
}

func TestPreflightNamesWhatStandsInTheWay(t *testing.T) {
	for name, c := range map[string]struct {
		want   region.Spec
		have   *region.Spec
		change func(*memory)
		words  []string // one an obstacle
	}{
		"nothing":      {want: inEurope(3, "e2-standard-2", "1.34")},
		"a permission": {want: inEurope(3, "e2-standard-2", "1.34"), change: func(m *memory) { m.lacks = "compute.routers.create" }, words: []string{"lacks in the GCP project acme-prod: compute.routers.create; grant"}},
		"a service": {want: inEurope(3, "e2-standard-2", "1.34"), change: func(m *memory) {
			m.answers["GET /services:batchGet"] = `{"services":[{"name":"projects/1/services/container.googleapis.com","state":"DISABLED"}]}`
		}, words: []string{"run `gcloud services enable container.googleapis.com --project acme-prod`"}},
		"a version":               {want: inEurope(3, "e2-standard-2", "1.36"), words: []string{"does not offer Kubernetes 1.36 in its regular channel"}},
		"a version, and its like": {want: inEurope(3, "e2-standard-2", "1.53"), words: []string{"it offers 1.35, 1.34"}},
		"a size of elsewhere":     {want: inEurope(3, "m9-big", "1.34"), words: []string{`no machines of type "m9-big" in europe-west1; it has e2-standard-2, e2-standard-4`}},
		"a size like another":     {want: inEurope(3, "e2-standard-3", "1.34"), words: []string{`did you mean "e2-standard-2"?`}},
		"a size that is a filter": {want: inEurope(3, "e2 OR x", "1.34"), words: []string{`no machines of type "e2 OR x"`}},
		"two quotas at once":      {want: inEurope(11, "e2-standard-2", "1.34"), words: []string{"22 CPUS in europe-west1 where the limit leaves 20, and 550 SSD_TOTAL_GB in europe-west1 where the limit leaves 500; ask for a higher quota"}},
		"a family's quota":        {want: inEurope(3, "n2-standard-4", "1.34"), words: []string{"12 N2_CPUS in europe-west1 where the limit leaves 8"}},
		"a network too many": {want: inEurope(3, "e2-standard-2", "1.34"), change: func(m *memory) {
			m.answers["GET regions/europe-west1"] = strings.Replace(m.answers["GET regions/europe-west1"], `"STATIC_ADDRESSES","limit":8`, `"STATIC_ADDRESSES","limit":1`, 1)
		}, words: []string{"1 STATIC_ADDRESSES in europe-west1 where the limit leaves 0"}},
		"a region that grows": {want: inEurope(12, "e2-standard-2", "1.34"), have: new(inEurope(10, "e2-standard-2", "1.34"))},
		"a region that stays": {want: inEurope(99, "e2-standard-2", "1.20"), have: new(inEurope(99, "e2-standard-2", "1.20"))},
		"a small range":       {want: func() region.Spec { s := inEurope(16, "x9-standard-2", "1.34"); s.CIDR = "10.20.0.0/20"; return s }(), have: new(inEurope(16, "x9-standard-2", "1.34")), words: []string{"cidr: 10.20.0.0/20 has addresses for the pods of 15 nodes, and 16 are wanted"}},
	} {
		m := usual(t)
		if c.change != nil {
			c.change(m)
		}
		got, err := m.project().Preflight(t.Context(), c.want, c.have)
		if err != nil || len(got.Obstacles) != len(c.words) {
			t.Errorf("%s: got %+v, %v; calls %v", name, got.Obstacles, err, m.calls)
			continue
		}
		for i, o := range got.Obstacles {
			if !strings.Contains(o.Message, c.words[i]) {
				t.Errorf("%s: got %q, want %q", name, o.Message, c.words[i])
			}
		}
		if len(m.calls) > 18 {
			t.Errorf("%s: %d calls: %v", name, len(m.calls), m.calls)
		}
	}
}

func TestPreflightFillsInAndWarns(t *testing.T) {
	p := usual(t).project()
	filled, err := p.Preflight(t.Context(), inEurope(0, "", ""), nil)
	if want := (region.Kubernetes{Version: "1.35", Nodes: defaultNodes}); err != nil || filled.Kubernetes != want || len(filled.Obstacles) > 0 {
		t.Errorf("left out is filled in as %+v, %v", filled, err)
	}
	// 3 e2-standard-2 in europe-west1, their disks, the cluster, NAT with its address, and a load balancer.
	if want := 3*(0.067006*730+5)*1.1 + 730*(0.10+0.005+3*0.0014+0.025); filled.Monthly.Amount != fmt.Sprintf("%.2f", want) || filled.Monthly.Currency != "USD" {
		t.Errorf("it costs %+v, want %.2f", filled.Monthly, want)
	}
	unknown, err := p.Preflight(t.Context(), inEurope(3, "x9-standard-2", "1.34"), nil)
	if err != nil || len(unknown.Warnings) != 1 || !strings.Contains(unknown.Warnings[0], "x9-standard-2") {
		t.Errorf("a price that is in no table: %+v, %v", unknown, err)
	}
	restricted := inEurope(3, "e2-standard-2", "1.34")
	restricted.Access = []string{"192.0.2.0/24"}
	warned, err := p.Preflight(t.Context(), restricted, nil)
	if err != nil || len(warned.Warnings) != 1 || !strings.Contains(warned.Warnings[0], "M3O_EGRESS_CIDRS") {
		t.Errorf("access without the worker's own addresses: %+v, %v", warned.Warnings, err)
	}
	if quiet, err := usual(t).project("198.51.100.7/32").Preflight(t.Context(), restricted, nil); err != nil || len(quiet.Warnings) > 0 {
		t.Errorf("access with them: %+v, %v", quiet.Warnings, err)
	}
	pools := map[string]int{}
	for _, d := range filled.Draws {
		pools[d.Pool] = d.Adds
	}
	if want := map[string]int{"CPUS in europe-west1": 6, "CPUS_ALL_REGIONS": 6, "SSD_TOTAL_GB in europe-west1": 150, "STATIC_ADDRESSES in europe-west1": 1, "NETWORKS": 1}; !maps.Equal(pools, want) {
		t.Errorf("it draws %v, want %v", pools, want)
	}
}

// A load balancer of the newer kind is found by its firewall rule as well, and everything goes in the order in which it is used.
func TestALoadBalancerOfBackendsIsSwept(t *testing.T) {
	const network = `"network":"https://x/projects/acme-prod/global/networks/m3o-micro-ew1"`
	m := &memory{t: t, answers: map[string]string{
		"GET global/networks/m3o-micro-ew1": `{"id":"1","name":"m3o-micro-ew1","description":"m3o:micro:ew1"}`,
		"GET global/firewalls": `{"items":[{"id":"2","name":"k8s2-ab12-shop-web-cd34",` + network + `},{"id":"3","name":"k8s2-ab12-l4-shared-hc-fw",` + network + `},
			{"id":"4","name":"somebodys-own",` + network + `},{"id":"5","name":"k8s-fw-other","network":"https://x/projects/acme-prod/global/networks/other"}]}`,
		"GET regions/europe-west1/forwardingRules": `{"items":[{"id":"6","name":"a77","backendService":"https://x/regions/europe-west1/backendServices/k8s2-ab12-shop-web-cd34"},{"id":"7","name":"other"}]}`,
		"GET regions/europe-west1/backendServices": `{"items":[{"id":"8","name":"k8s2-ab12-shop-web-cd34"},{"id":"9","name":"other"}]}`,
		"GET regions/europe-west1/healthChecks":    `{"items":[{"id":"10","name":"k8s2-ab12-l4-shared-hc"},{"id":"11","name":"other"}]}`,
		"GET regions/europe-west1/targetPools":     `{}`, "GET regions/europe-west1/addresses": `{}`, "GET global/httpHealthChecks": `{}`, "GET aggregated/disks": `{}`,
	}}
	p := m.project()
	spec := inEurope(3, "", "").ClusterSpec(region.Net{})
	lists := map[string]string{"forwardingRules": "GET regions/europe-west1/forwardingRules", "backendServices": "GET regions/europe-west1/backendServices",
		"healthChecks": "GET regions/europe-west1/healthChecks", "firewalls": "GET global/firewalls"}
	for _, want := range []string{"forwardingRules/a77", "backendServices/k8s2-ab12-shop-web-cd34", "healthChecks/k8s2-ab12-l4-shared-hc",
		"firewalls/k8s2-ab12-l4-shared-hc-fw firewalls/k8s2-ab12-shop-web-cd34"} {
		m.calls = nil
		now, err := p.sweep(t.Context(), spec)
		if now.Gone || err != nil || len(m.calls) > 20 { // that what is deleted is not there is fine
			t.Fatalf("got %+v, %v", now, err)
		}
		var deleted []string
		for _, call := range m.calls {
			if path, is := strings.CutPrefix(call, "DELETE "); is {
				deleted = append(deleted, kindAndName(path))
			}
		}
		slices.Sort(deleted)
		if got := strings.Join(deleted, " "); got != want {
			t.Errorf("deleted %q, want %q", got, want)
		}
		m.answers[lists[strings.Split(want, "/")[0]]] = `{}`
	}
	if now, err := p.sweep(t.Context(), spec); err != nil || !now.Gone {
		t.Errorf("in the end: %+v, %v", now, err)
	}
}
