package digitalocean_test

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
	"github.com/m3o/platform/internal/sandbox/digitalocean"
	"github.com/m3o/platform/internal/sandbox/world"
)

func TestTokenDoesWhatItsScopesAllow(t *testing.T) {
	c := open(t, t.TempDir(), 0.001, digitalocean.Config{Policy: []byte(`{"scopes": ["vpc:read", "vpc:create", "sizes:read"]}`)})
	v := c.vpc("net-1")
	_, _, err := c.VPCs.Get(c.ctx, v.ID)
	must(t, err)
	_, err = c.VPCs.Delete(c.ctx, v.ID)
	refused(t, err, http.StatusForbidden, "You are missing the required permission vpc:delete.")
	_, _, err = c.Sizes.List(c.ctx, nil)
	refused(t, err, http.StatusForbidden, "You are missing the required permission regions:read.")
	_, _, err = c.Kubernetes.List(c.ctx, nil)
	refused(t, err, http.StatusForbidden, "You are missing the required permission kubernetes:read.")
	_, _, err = c.VPCs.Get(c.ctx, v.ID)
	must(t, err) // it is still there
	_, response, err := client(t, c.url, "another").VPCs.List(c.ctx, &godo.ListOptions{})
	if err == nil || response.StatusCode != http.StatusUnauthorized {
		t.Errorf("another token: %v", err)
	}
}

func TestEveryOperationNeedsScopes(t *testing.T) {
	c := newCloud(t)
	do, err := digitalocean.New(digitalocean.Config{World: c.world, Runner: clusterstest.New(1), Token: token, Versions: []string{"1.37"}, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	for _, operation := range do.Operations() {
		if len(digitalocean.Scopes(operation)) == 0 {
			t.Errorf("%s needs none", operation)
		}
	}
}

func TestPoliciesThatAreNone(t *testing.T) {
	w, err := world.Open(t.TempDir(), world.Clock{Scale: 1})
	must(t, err)
	defer func() { must(t, w.Close()) }()
	for policy, words := range map[string]string{
		`{"scopes": ["everything"]}`: `scope "everything" is not of the form "vpc:read"`,
		`{"Statement": []}`:          `the policy is {"scopes": [...]}`,
		``:                           `the policy is {"scopes": [...]}`,
		`{"scopes": []} {}`:          "more than one document",
	} {
		_, err := digitalocean.New(digitalocean.Config{World: w, Runner: clusterstest.New(1), Token: token, Versions: []string{"1.37"},
			Logger: slog.New(slog.DiscardHandler), Policy: []byte(policy)})
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v", policy, err)
		}
	}
}
