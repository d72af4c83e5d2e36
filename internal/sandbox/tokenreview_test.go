package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
)

// gatekeeper is a cloud with one cluster, which ada administers.
type gatekeeper struct {
	tiny
	env environment
}

const gatekeepersCluster = "cluster/1"

func (g gatekeeper) Authenticate(_ context.Context, cluster, token string) (string, []string, error) {
	if cluster != gatekeepersCluster || token != "token-of-ada" {
		return "", nil, errors.New("the token is nobody's")
	}
	return "ada", []string{"system:masters"}, nil
}

func (g gatekeeper) wanted() clusters.Wanted {
	return clusters.Wanted{ID: "one", Name: "one", Version: "1.36", Place: g.env.runner.Places()[0], Authenticator: g.env.webhook("gate")(gatekeepersCluster)}
}

func (g gatekeeper) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := g.env.runner.Apply(ctx, g.wanted()); err != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil
}

// withGatekeeper runs a sandbox that has the cloud "gate", until stop is called.
func withGatekeeper(t *testing.T, config Config) (cloud gatekeeper, at Endpoints, stop func()) {
	t.Helper()
	before := providers
	opened := make(chan gatekeeper, 1)
	providers = append(slices.Clone(providers), row{name: "gate", offset: 9, credentials: "gate.key", open: func(env environment) (Provider, error) {
		g := gatekeeper{tiny{http.NotFoundHandler(), "gate"}, env}
		opened <- g
		return g, nil
	}})
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan Endpoints, 1), make(chan error, 1)
	config.BasePort, config.TimeScale, config.Ready, config.Logger = AnyPort, 0.001, func(e Endpoints) { ready <- e }, slog.New(slog.DiscardHandler)
	go func() { ended <- Run(ctx, config) }()
	select {
	case at = <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	return <-opened, at, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		providers = before
	}
}

func TestTokenReviews(t *testing.T) {
	cloud, at, stop := withGatekeeper(t, Config{Dir: filepath.Join(t.TempDir(), "sandbox"), Clusters: clusterstest.New(1)})
	defer stop()
	good := `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"token-of-%s"}}`
	right := cloud.env.webhook("gate")(gatekeepersCluster)
	for name, c := range map[string]struct {
		url, body string
		status    int
		says      string
	}{
		"somebody":          {right, fmt.Sprintf(good, "ada"), 200, `"user":{"username":"ada","groups":["system:masters"]}`},
		"nobody":            {right, fmt.Sprintf(good, "bob"), 200, `"error":"the token is nobody's"`},
		"another cluster":   {cloud.env.webhook("gate")("other"), fmt.Sprintf(good, "ada"), 200, `"error":"the token is nobody's"`},
		"another cloud":     {at.Control + "/_sandbox/clusters/none/x/tokenreview", fmt.Sprintf(good, "ada"), 404, `no provider \"none\"`},
		"knows them itself": {at.Control + "/_sandbox/clusters/digitalocean/x/tokenreview", fmt.Sprintf(good, "ada"), 404, "know their tokens themselves"},
		"another version":   {right, strings.Replace(fmt.Sprintf(good, "ada"), "/v1", "/v1beta1", 1), 400, `\"authentication.k8s.io/v1beta1\" \"TokenReview\" is not`},
		"not JSON":          {right, "token", 400, "the body is not a TokenReview"},
		"too long":          {right, fmt.Sprintf(good, strings.Repeat("a", maxReview)), 400, "too large"},
	} {
		answer, err := http.Post(c.url, "application/json", strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || answer.StatusCode != c.status || !strings.Contains(string(body), c.says) {
			t.Errorf("%s: %d %s %v", name, answer.StatusCode, body, err)
		}
		var review authenticationv1.TokenReview
		if c.status == 200 && (json.Unmarshal(body, &review) != nil || review.Status.Authenticated != (name == "somebody") || review.Spec.Token != "") {
			t.Errorf("%s: %s", name, body)
		}
	}
}

// TestClustersAskWhoseATokenIs is about a real API server: it lets in whom the cloud knows and no one else, also after a restart of
// the sandbox, which then listens elsewhere.
func TestClustersAskWhoseATokenIs(t *testing.T) {
	binary, err := filepath.Abs("../../bin/m3o-kube")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "sb") // short: below it are unix sockets
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	config := Config{Dir: dir, RunDir: t.TempDir(), KubeBinary: binary}
	var urls []string
	for range 2 {
		cloud, _, stop := withGatekeeper(t, config)
		urls = append(urls, cloud.wanted().Authenticator)
		letsIn(t, cloud.env.runner, "token-of-ada", nil)
		letsIn(t, cloud.env.runner, "token-of-bob", apierrors.IsUnauthorized)
		stop()
	}
	if urls[0] == urls[1] {
		t.Errorf("the sandbox listened at the same place twice: %v", urls)
	}
}

// letsIn waits until a cluster lists its nodes for who has that token, or refuses as it should.
func letsIn(t *testing.T, runner clusters.Runner, token string, refused func(error) bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		err := listNodes(t.Context(), runner, token)
		if refused == nil && err == nil || refused != nil && refused(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("with %s: %v", token, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func listNodes(ctx context.Context, runner clusters.Runner, token string) error {
	access, err := runner.Access(ctx, "one")
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(&rest.Config{Host: access.Server, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: access.CA}})
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	return err
}
