//go:build contract

package contract

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/cloud/cloudtest"
	"github.com/m3o/platform/internal/cloud/digitalocean"
	"github.com/m3o/platform/internal/cloud/digitalocean/digitaloceantest"
	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/sandboxtest"
)

// adapterCalls are what our adapter calls of the SDK, and the operations that it means.
var adapterCalls = map[string]string{
	"Account.Get":                        "account_get",
	"Droplets.List":                      "droplets_list",
	"Kubernetes.Create":                  "kubernetes_create_cluster",
	"Kubernetes.CreateNodePool":          "kubernetes_add_nodePool",
	"Kubernetes.DeleteDangerous":         "kubernetes_destroy_associatedResourcesDangerous",
	"Kubernetes.GetKubeConfigWithExpiry": "kubernetes_get_kubeconfig",
	"Kubernetes.GetOptions":              "kubernetes_list_options",
	"Kubernetes.Update":                  "kubernetes_update_cluster",
	"Kubernetes.UpdateNodePool":          "kubernetes_update_nodePool",
	"LoadBalancers.Delete":               "loadBalancers_delete",
	"LoadBalancers.List":                 "loadBalancers_list",
	"NewRequest /v2/kubernetes/clusters": "kubernetes_list_clusters",
	"Sizes.List":                         "sizes_list",
	"Storage.DeleteVolume":               "volumes_delete",
	"Storage.ListVolumes":                "volumes_list",
	"VPCs.Create":                        "vpcs_create",
	"VPCs.Delete":                        "vpcs_delete",
	"VPCs.List":                          "vpcs_list",
	"VPCs.Set":                           "vpcs_patch",
}

// unseen are those that the conformance suite cannot provoke. TestDigitalOcean sends them.
var unseen = map[string]string{
	"loadBalancers_delete":    "a load balancer that outlives its cluster: nobody can make one with the API's own tag",
	"kubernetes_add_nodePool": "a cluster that has lost all its pools: the API does not let go of the last one",
}

// nodeMessages are why a node does not come up. The SDK reads them.
var nodeMessages = []deviation{
	{"kubernetes_list_clusters", "answer", "/kubernetes_clusters/*/node_pools/*/nodes/*/status/message", "the description leaves the SDK's field out"},
}

// TestDigitalOceanAdapter runs the adapter's conformance suite through the check, lost answers and all.
func TestDigitalOceanAdapter(t *testing.T) {
	check := newChecker(t, "digitalocean.json", append([]deviation{noBackups}, nodeMessages...))
	t.Run("conformance", func(t *testing.T) {
		cloudtest.Run(t, func(t *testing.T) cloudtest.Harness {
			account := newAccount(t, false)
			account.Transport = check
			return account.Harness(t)
		})
	})
	t.Run("a network that became its region's default", func(t *testing.T) {
		account := newAccount(t, true)
		account.Transport = check
		ours := account.Harness(t).Region.NetworkSpec()
		_, _, err := account.SDK(t).VPCs.Create(t.Context(), &godo.VPCCreateRequest{Name: ours.Name, RegionSlug: ours.Location, Description: ours.Owner.Owner()})
		must(t, err)
		_, err = account.Harness(t).Provider.DeleteNetwork(t.Context(), ours, "")
		must(t, err)
	})
	t.Run("a region with a range and an access list", func(t *testing.T) {
		account := newAccount(t, false)
		account.Transport = check
		h := account.Harness(t)
		want := h.Region
		want.CIDR, want.Access = "10.20.0.0/16", []string{"198.51.100.0/24"}
		network, err := h.Provider.EnsureNetwork(t.Context(), want.NetworkSpec(), "")
		must(t, err)
		_, err = h.Provider.EnsureCluster(t.Context(), want.ClusterSpec(network), "")
		must(t, err)
		for _, access := range [][]string{{"198.51.100.0/24", "203.0.113.7/32"}, nil} {
			want.Access = access
			_, err = h.Provider.EnsureCluster(t.Context(), want.ClusterSpec(network), "")
			must(t, err)
		}
	})
	var expected []string
	for _, operation := range adapterCalls {
		if unseen[operation] == "" {
			expected = append(expected, operation)
		}
	}
	check.finish(expected)
}

// TestAdapterCallsAreKnown reads the adapter: a call that is new there must become one here.
func TestAdapterCallsAreKnown(t *testing.T) {
	files, err := filepath.Glob("../../cloud/digitalocean/*.go")
	must(t, err)
	call := regexp.MustCompile(`\.api\.([A-Z]\w+\.[A-Z]\w+)`)
	path := regexp.MustCompile(`"(/v2/[^"?]*)`)
	found := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		must(t, err)
		for _, match := range call.FindAllStringSubmatch(string(text), -1) {
			found[match[1]] = true
		}
		for _, match := range path.FindAllStringSubmatch(string(text), -1) {
			found["NewRequest "+match[1]] = true
		}
	}
	for name := range found {
		if adapterCalls[name] == "" {
			t.Errorf("the adapter calls %s, which is not checked: add it to adapterCalls", name)
		}
	}
	for name := range adapterCalls {
		if !found[name] {
			t.Errorf("the adapter does not call %s any more: remove it from adapterCalls", name)
		}
	}
	operations := newExchange(t).cloud.Operations()
	needed := digitalocean.Permissions()
	for name, operation := range adapterCalls {
		if want := sandboxScopes(operation); !slices.Equal(needed[operation], want) {
			t.Errorf("the adapter's table says that %s needs %v; it needs %v", operation, needed[operation], want)
		}
		delete(needed, operation)
		if !slices.Contains(operations, operation) {
			t.Errorf("the sandbox does not have %s (%s)", operation, name)
		}
	}
	if len(needed) > 0 {
		t.Errorf("the adapter's table has operations that it does not call: %v", needed)
	}
}

// newAccount is the account of a sandbox of its own; unused is one that has no default VPCs yet.
func newAccount(t *testing.T, unused bool) digitaloceantest.Account {
	t.Helper()
	at := sandboxtest.Start(t, sandbox.Config{DropletLimit: 20, NewAccount: unused})
	return digitaloceantest.Open(t, at.Providers["digitalocean"], at.Control, at.Credentials("digitalocean"))
}
