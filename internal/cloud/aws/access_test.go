package aws_test

import (
	"encoding/base64"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/m3o/platform/deploy/workers"
	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cloud/aws/awstest"
	"github.com/m3o/platform/internal/sandbox"
)

// bearer is the token in a kubeconfig.
func bearer(t *testing.T, access cloud.Access) (config *rest.Config, token string) {
	t.Helper()
	config, err := clientcmd.RESTConfigFromKubeConfig(access.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return config, config.BearerToken
}

// The token is a request to STS that says who the worker is, for one cluster and a quarter of an hour, without the secret in it.
func TestATokenIsForOneCluster(t *testing.T) {
	t.Parallel()
	account := newAccount(t, sandbox.Config{})
	p := account.Provider(t)
	b := awstest.Build(t, p, awstest.Region())
	access, err := p.Access(t.Context(), b.ClusterSpec())
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(access.Expires); left < 13*time.Minute || left > 15*time.Minute {
		t.Errorf("it ends in %s", left)
	}
	_, token := bearer(t, access)
	encoded, is := strings.CutPrefix(token, "k8s-aws-v1.")
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || !is {
		t.Fatalf("%q is no token of EKS: %v", token, err)
	}
	signed, err := url.Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	q := signed.Query()
	if q.Get("Action") != "GetCallerIdentity" || q.Get("X-Amz-Expires") != "60" || q.Get("X-Amz-SignedHeaders") != "host;x-k8s-aws-id" {
		t.Errorf("what is signed is %s", signed)
	}
	credentials, err := os.ReadFile(account.Credentials)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(credentials)) {
		if name, secret, _ := strings.Cut(line, "="); strings.Contains(name, "secret") && strings.Contains(string(access.Kubeconfig)+string(text), strings.TrimSpace(secret)) {
			t.Error("the secret is in the kubeconfig")
		}
	}
}

// kubeBinary is the m3o-kube that make build makes.
func kubeBinary(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../../bin/m3o-kube")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("there is no %s: run make build", path)
	}
	return path
}

// The worker's token opens the API server of a real cluster, which asks the cloud whose it is; one whose signature is another does not.
func TestAccessOpensARealCluster(t *testing.T) {
	dir, err := os.MkdirTemp("", "sb") // a short name: below it are unix sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	account := newAccount(t, sandbox.Config{Dir: dir, KubeBinary: kubeBinary(t), TimeScale: 0.01, Policies: map[string][]byte{"aws": workerpolicy.Of("aws")}})
	p := account.Provider(t)
	spec := awstest.Region()
	spec.Kubernetes.Nodes.Count = 1
	b := awstest.Build(t, p, spec)
	access, err := p.Access(t.Context(), b.ClusterSpec())
	if err != nil {
		t.Fatal(err)
	}
	config, token := bearer(t, access)
	nodes := func() (int, error) {
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		found, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return 0, err
		}
		return len(found.Items), nil
	}
	if n, err := nodes(); err != nil || n != 1 {
		t.Errorf("there are %d nodes, %v", n, err)
	}
	config.BearerToken = token[:len(token)-4] + "AAAA"
	if _, err := nodes(); !apierrors.IsUnauthorized(err) {
		t.Errorf("another token: %v", err)
	}
	b.Remove(t, p)
}
