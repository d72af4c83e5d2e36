package clusters_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/sandbox/clusters"
)

// kubeconfig writes a file with a context for each server.
func kubeconfig(t *testing.T, servers map[string]string, authority []byte) string {
	t.Helper()
	config := api.NewConfig()
	for name, server := range servers {
		config.Clusters[name] = &api.Cluster{Server: server, CertificateAuthorityData: authority}
		config.AuthInfos[name] = &api.AuthInfo{Token: "secret"}
		config.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name}
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, clientcmd.WriteToFile(*config, path))
	return path
}

func TestOnlyLocalContextsAreTakenUnnamed(t *testing.T) {
	local := map[string]string{"kind-a": "https://0.0.0.0:1", "k3d-b": "https://host.docker.internal:2", "c": "https://127.0.0.1:3",
		"d": "https://localhost:4", "e": "https://[::1]:5"}
	runner, err := clusters.NewContexts(kubeconfig(t, local, nil), nil, t.TempDir())
	must(t, err)
	if got := runner.Places(); !slices.Equal(got, slices.Sorted(maps.Keys(local))) {
		t.Errorf("taken are %v", got)
	}
	for name, server := range map[string]string{"prod": "https://k8s.example.com", "lan": "https://192.168.1.4:6443",
		"127.0.0.1": "https://127.0.0.1.example.com", "mykind-x": "https://10.0.0.1", "none": "", "odd": "://"} {
		all := maps.Clone(local)
		all[name] = server
		file := kubeconfig(t, all, nil)
		err := clusters.CheckContexts(file, nil)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "("+name+")") || !strings.Contains(err.Error(), "--context NAME") ||
			!strings.Contains(err.Error(), "kind-a") {
			t.Errorf("with %s at %s: %v", name, server, err)
		}
		runner, err := clusters.NewContexts(file, []string{name, "c", name}, t.TempDir())
		must(t, err)
		if got, want := fmt.Sprint(runner.Places()), fmt.Sprint(slices.Sorted(slices.Values([]string{"c", name}))); got != want {
			t.Errorf("by name, taken are %s, want %s", got, want)
		}
	}
	if err := clusters.CheckContexts(kubeconfig(t, local, nil), []string{"c", "x"}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "no context x; it has c, d, e") {
		t.Errorf("a name that is not there: %v", err)
	}
	if err := clusters.CheckContexts(kubeconfig(t, nil, nil), nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("no context at all: %v", err)
	}
}
