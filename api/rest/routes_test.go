package rest

import (
	"net/http"
	"testing"

	"github.com/m3o/platform/internal/account"
)

func TestEveryRouteDeclaresItsPermission(t *testing.T) {
	a := &API{Metrics: http.NotFoundHandler()}
	a.Handler()
	open := map[string]bool{"health": true, "ready": true, "codec-preflight": true, "login-page": true, "login": true}
	if len(a.Routes()) < 20 {
		t.Fatalf("only %d routes are registered", len(a.Routes()))
	}
	for _, r := range a.Routes() {
		if r.Permission == "" {
			t.Errorf("%s %s declares no permission", r.Method, r.Path)
		}
		if r.Permission == account.Anyone && !open[r.Action] {
			t.Errorf("%s %s is open to anyone; only health and the login page may be", r.Method, r.Path)
		}
	}
	for route, item := range a.huma.OpenAPI().Paths {
		if item.Get != nil && item.Get.Extensions["x-permission"] == nil || item.Post != nil && item.Post.Extensions["x-permission"] == nil ||
			item.Delete != nil && item.Delete.Extensions["x-permission"] == nil {
			t.Errorf("%s was registered beside API.operation", route)
		}
	}
}
