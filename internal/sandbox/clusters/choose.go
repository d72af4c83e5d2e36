package clusters

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/m3o/platform/internal/fault"
)

// CheckContexts says why the contexts of a kubeconfig could not be taken for clusters, before anything is started on them.
func CheckContexts(kubeconfig string, named []string) error {
	_, _, err := readContexts(kubeconfig, named)
	return err
}

// readContexts reads a kubeconfig and says which of its contexts may be taken. A cluster of this machine was made to be
// played with; any other may be shared, and is taken only by name.
func readContexts(kubeconfig string, named []string) (*api.Config, []string, error) {
	config, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		return nil, nil, fmt.Errorf("read the kubeconfig %s: %w", kubeconfig, err)
	}
	var all, distant []string
	for name, context := range config.Contexts {
		all = append(all, name)
		if !isLocal(name, config.Clusters[context.Cluster]) {
			distant = append(distant, name)
		}
	}
	slices.Sort(all)
	slices.Sort(distant)
	unknown := slices.DeleteFunc(slices.Clone(named), func(name string) bool { return slices.Contains(all, name) })
	switch {
	case len(all) == 0:
		return nil, nil, fault.New(fault.Invalid, "the kubeconfig %s has no context", kubeconfig)
	case len(unknown) > 0:
		return nil, nil, fault.New(fault.Invalid, "the kubeconfig %s has no context %s; it has %s",
			kubeconfig, strings.Join(unknown, ", "), strings.Join(all, ", "))
	case len(named) > 0:
		return config, slices.Compact(slices.Sorted(slices.Values(named))), nil
	case len(distant) > 0:
		return nil, nil, fault.New(fault.Invalid, "the kubeconfig %s leads to clusters that are not on this machine (%s). Say which contexts may be taken,"+
			" with --context NAME for each; it has %s", kubeconfig, strings.Join(distant, ", "), strings.Join(all, ", "))
	}
	return config, all, nil
}

// isLocal says whether a context is a cluster of this machine: one of kind or k3d, or one that listens on the loopback.
func isLocal(name string, cluster *api.Cluster) bool {
	if strings.HasPrefix(name, "kind-") || strings.HasPrefix(name, "k3d-") {
		return true
	}
	if cluster == nil {
		return false
	}
	server, err := url.Parse(cluster.Server)
	if err != nil {
		return false
	}
	ip := net.ParseIP(server.Hostname())
	return server.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
