package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/m3o/platform/internal/kube/cluster"
)

// reviewer is a webhook that knows one token, as an administrator's.
func reviewer(t *testing.T, token string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review authenticationv1.TokenReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.APIVersion != "authentication.k8s.io/v1" {
			http.Error(w, fmt.Sprintf("%+v: %v", review.TypeMeta, err), http.StatusBadRequest)
			return
		}
		review.Status.Authenticated = review.Spec.Token == token
		review.Status.User = authenticationv1.UserInfo{Username: "ada", Groups: []string{"system:masters"}}
		_ = json.NewEncoder(w).Encode(review)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/review"
}

// listNodes does what takes an administrator, with that token and nothing else.
func listNodes(ctx context.Context, of *rest.Config, token string) error {
	config := rest.AnonymousClientConfig(of)
	config.BearerToken = token
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	return err
}

// TestTokensAreReviewed: who has a token of the authenticator's is let in, and so
// is the administrator; when another authenticator is wanted, that one is asked.
func TestTokensAreReviewed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	spec := cluster.Spec{Name: "lon1", Version: "1.36", LoadBalancerCIDR: "127.18.6.0/28", Authenticator: reviewer(t, "first")}
	writeSpec(t, dir, spec)
	p := start(t, dir)
	p.waitReady(t)
	config := p.config(t)
	expectTokens(t, config, map[string]bool{"first": true, "second": false, config.BearerToken: true})
	spec.Authenticator = reviewer(t, "second")
	writeSpec(t, dir, spec)
	eventually(t, soon, func() error { return listNodes(t.Context(), config, "second") })
	expectTokens(t, config, map[string]bool{"first": false, "second": true, config.BearerToken: true})
}

func expectTokens(t *testing.T, config *rest.Config, good map[string]bool) {
	t.Helper()
	for token, want := range good {
		err := listNodes(t.Context(), config, token)
		if want && err != nil || !want && !apierrors.IsUnauthorized(err) {
			t.Errorf("with token %q: %v", token, err)
		}
	}
}
