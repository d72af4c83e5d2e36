package digitalocean_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/sandbox/clusters"
)

// read is what a client that is no SDK of Go's gets of a path.
func (c *cloud) read(path string, into any) {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.ctx, http.MethodGet, c.url+path, nil)
	must(c.t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(request)
	must(c.t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	must(c.t, err)
	if answer.StatusCode != http.StatusOK {
		c.t.Fatalf("%s answers %d %s", path, answer.StatusCode, body)
	}
	must(c.t, json.Unmarshal(body, into))
}

// TestLoadBalancersAreWhole: python3-digitalocean reads what godo does not, makes objects of exactly these fields, and stumbles over one
// that is missing.
func TestLoadBalancersAreWhole(t *testing.T) {
	c := newCloud(t)
	c.runner.Made(clusters.Inventory{LoadBalancers: []clusters.LoadBalancer{
		{UID: "1", Name: "a1", IP: "127.0.0.9", Ports: []clusters.Port{{Protocol: "tcp", Port: 80, NodePort: 30080}}}, {UID: "2", Name: "a2"}}})
	cluster := c.cluster("lon1", 1)
	c.waitState(cluster.ID, godo.KubernetesClusterStatusRunning)
	c.belongings(cluster.ID, 2, 0)
	var list struct {
		LoadBalancers []struct {
			Name           string           `json:"name"`
			Algorithm      string           `json:"algorithm"`
			HealthCheck    map[string]any   `json:"health_check"`
			StickySessions map[string]any   `json:"sticky_sessions"`
			Redirects      *bool            `json:"redirect_http_to_https"`
			Proxied        *bool            `json:"enable_proxy_protocol"`
			Rules          []map[string]any `json:"forwarding_rules"`
		} `json:"load_balancers"`
	}
	c.read("/v2/load_balancers", &list)
	equal(t, "load balancers", len(list.LoadBalancers), 2)
	for _, b := range list.LoadBalancers {
		for _, field := range []string{"protocol", "port", "path", "check_interval_seconds", "response_timeout_seconds", "healthy_threshold", "unhealthy_threshold"} {
			if _, there := b.HealthCheck[field]; !there {
				t.Errorf("the health check of %s has no %s: %v", b.Name, field, b.HealthCheck)
			}
		}
		if len(b.HealthCheck) != 7 || b.StickySessions["type"] != "none" || b.Algorithm == "" || b.Redirects == nil || b.Proxied == nil {
			t.Errorf("%s is %+v", b.Name, b)
		}
	}
	if port := fmt.Sprint(list.LoadBalancers[0].HealthCheck["port"]); port != "30080" {
		t.Errorf("the health of a1 is checked at port %s", port)
	}
}

// TestSlashAtTheEnd: python3-digitalocean asks so.
func TestSlashAtTheEnd(t *testing.T) {
	c := newCloud(t)
	for _, path := range []string{"/v2/account/", "/v2/regions/", "/v2/sizes/", "/v2/droplets/?per_page=200"} {
		var body map[string]any
		c.read(path, &body)
		if len(body) == 0 {
			t.Errorf("%s has nothing", path)
		}
	}
}
