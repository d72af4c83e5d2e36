package gcp_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	workerpolicy "github.com/m3o/platform/deploy/workers"
	"github.com/m3o/platform/internal/cloud/gcp/gcptest"
	"github.com/m3o/platform/internal/sandbox"
)

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

// The worker's access token opens the API server of a real cluster, which asks the cloud whose it is, and nobody else's does.
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
	account := newAccount(t, sandbox.Config{Dir: dir, KubeBinary: kubeBinary(t), TimeScale: 0.01, Policies: map[string][]byte{"gcp": workerpolicy.Of("gcp")}})
	o := &operated{Account: account, t: t, provider: account.Provider(t), spec: gcptest.Region, patience: 2 * time.Minute}
	o.spec.Kubernetes.Nodes.Count = 1
	o.build()
	access, err := o.provider.Access(t.Context(), o.clusterSpec())
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(access.Expires); left < 5*time.Minute || left > time.Hour {
		t.Errorf("it ends in %s", left)
	}
	client := func(kubeconfig string) *kubernetes.Clientset {
		config, err := clientcmd.RESTConfigFromKubeConfig([]byte(kubeconfig))
		if err != nil {
			t.Fatal(err)
		}
		set, err := kubernetes.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	nodes, err := client(string(access.Kubeconfig)).CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(nodes.Items) != 1 {
		t.Errorf("the nodes are %v, %v", nodes, err)
	}
	token, err := account.Tokens.Token()
	if err != nil {
		t.Fatal(err)
	}
	others := strings.Replace(string(access.Kubeconfig), token.AccessToken, "ya29.another", 1)
	if _, err := client(others).CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("another token: %v", err)
	}
	o.remove()
}
