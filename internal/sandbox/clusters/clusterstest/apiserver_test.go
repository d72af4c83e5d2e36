package clusterstest_test

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
)

// served is a cluster with a stand-in API server, and a client with the token.
func served(t *testing.T, w clusters.Wanted, token string) *cluster.Client {
	t.Helper()
	r := clusterstest.New(1)
	t.Cleanup(r.ServeAPIs())
	if err := r.Apply(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	access, err := r.Access(t.Context(), w.ID)
	if err != nil {
		t.Fatal(err)
	}
	if token == "" {
		token = access.Token
	}
	c, err := cluster.Connect(fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],
		"clusters":[{"name":"c","cluster":{"server":%q,"insecure-skip-tls-verify":true}}],"users":[{"name":"u","user":{"token":%q}}]}`, access.Server, token), nil)
	if err != nil {
		t.Fatal(err)
	}
	if block, _ := pem.Decode(access.CA); block == nil {
		t.Error("the authority is not PEM")
	} else if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		t.Error(err)
	}
	return c
}

// What a region needs of an API server the stand-in does: parts are applied, run, and have not drifted; what is no longer wanted goes.
func TestPartsRunOnAStandIn(t *testing.T) {
	c := served(t, clusters.Wanted{ID: "one", Version: "1.34"}, "")
	spec := region.Spec{Platform: "micro", Name: "lon1", Provider: region.DigitalOcean, Kubernetes: region.Kubernetes{Version: "1.34", Nodes: region.Nodes{Count: 3}},
		Resource: []region.Part{region.Etcd, region.NATS}, Unenforced: region.Allow}
	if found, lacks, err := c.Verify(t.Context(), spec); err != nil || len(lacks) > 0 || found.StorageClass != "standard" {
		t.Fatalf("verified %+v, %v, %v", found, lacks, err)
	}
	for range 2 {
		if err := c.ApplyFoundations(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		if err := c.ApplyParts(t.Context(), spec, cluster.Parts{}); err != nil {
			t.Fatal(err)
		}
		if err := c.PruneParts(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
	}
	if state, err := c.PartsState(t.Context(), spec); err != nil || !state.Ready {
		t.Errorf("the parts are %+v, %v", state, err)
	}
	if drift, err := c.Drift(t.Context(), spec, cluster.Parts{}); err != nil || len(drift) > 0 {
		t.Errorf("drifted: %v, %v", drift, err)
	}
	if version, err := c.Version(t.Context()); err != nil || version != "1.34.0" {
		t.Errorf("version %q, %v", version, err)
	}
	spec.Resource = []region.Part{region.Etcd}
	if drift, err := c.Drift(t.Context(), spec, cluster.Parts{}); err != nil || !strings.Contains(strings.Join(drift, "\n"), "left over: statefulset") {
		t.Errorf("NATS is not wanted any more: %v, %v", drift, err)
	}
	if err := c.PruneParts(t.Context(), spec); err != nil {
		t.Error(err)
	}
	if drift, err := c.Drift(t.Context(), spec, cluster.Parts{}); err != nil || len(drift) > 0 {
		t.Errorf("drifted: %v, %v", drift, err)
	}
}

// Who is let in the webhook says, beside the administrator.
func TestAStandInAsksWhoCalls(t *testing.T) {
	asked := 0
	webhook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		fmt.Fprintf(w, `{"kind":"TokenReview","status":{"authenticated":%t}}`, asked == 1)
	}))
	defer webhook.Close()
	c := served(t, clusters.Wanted{ID: "one", Version: "1.34", Authenticator: webhook.URL}, "somebody's")
	if _, err := c.Version(t.Context()); err != nil || asked != 1 {
		t.Errorf("the webhook was asked %d times, and its word is: %v", asked, err)
	}
	if _, err := c.Version(t.Context()); err == nil {
		t.Error("whom the webhook does not know is let in")
	}
	if _, err := served(t, clusters.Wanted{ID: "one", Version: "1.34"}, "somebody's").Version(t.Context()); err == nil {
		t.Error("without a webhook everybody is let in")
	}
}
