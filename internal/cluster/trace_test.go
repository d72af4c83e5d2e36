package cluster

import (
	"net/http"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// TestGatewaysTraceWhereTheyAreTold: by default neither the gateway nor the rules of who may talk to whom know of a collector.
func TestGatewaysTraceWhereTheyAreTold(t *testing.T) {
	spec := region.Spec{Platform: "micro", Name: "lon1", Domain: "micro.mu", Kubernetes: region.Kubernetes{Nodes: region.Nodes{Count: 1}}}
	for endpoint, port := range map[string]int32{"": 0, "http://collector": 80, "https://collector/v1/traces": 443, "http://10.0.0.7:4318/v1/traces": 4318} {
		var told string
		var open int32
		for _, o := range gateway(spec, Parts{Gateway: Gateway{Traces: endpoint}}, survey{}) {
			switch o := o.(type) {
			case *appsv1.Deployment:
				for _, e := range o.Spec.Template.Spec.Containers[0].Env {
					told += e.Name + "=" + e.Value
				}
			case *networkingv1.NetworkPolicy:
				open = o.Spec.Egress[0].Ports[0].Port.IntVal
			}
		}
		want := ""
		if endpoint != "" {
			want = "M3O_OTLP_ENDPOINT=" + endpoint
		}
		if told != want || open != port {
			t.Errorf("%q: the gateway is told %q and may call port %d; want port %d", endpoint, told, open, port)
		}
	}
}

// TestCallsAreCarried: what carries the calls sees every one, with the credentials added further on.
func TestCallsAreCarried(t *testing.T) {
	seen := []string{}
	carry := func(next http.RoundTripper) http.RoundTripper {
		return trip(func(r *http.Request) (*http.Response, error) {
			seen = append(seen, r.URL.Path+r.Header.Get("Authorization"))
			return next.RoundTrip(r)
		})
	}
	c, err := Connect([]byte(`{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],
		"clusters":[{"name":"c","cluster":{"server":"http://127.0.0.1:1"}}],"users":[{"name":"u","user":{"token":"hush"}}]}`), carry)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = c.ServiceState(t.Context(), release.Key{Project: "shop", Name: "till"}, 1) // nothing answers
	if len(seen) == 0 || seen[0] != "/apis/apps/v1/namespaces/project-shop/deployments/till" {
		t.Errorf("seen: %q", seen)
	}
}

type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
