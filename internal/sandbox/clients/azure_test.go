//go:build clients

package clients

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/cloud/azure/azuretest"
	"github.com/m3o/platform/internal/sandbox"
)

// useAzure has az show the region's cluster and write a kubeconfig.
func useAzure(t *testing.T, s *sandboxed) {
	times, err := strconv.ParseFloat(scale, 64)
	must(t, err)
	h := azuretest.Open(t, s.at.Providers[s.cloud], s.at.Control, s.credentials(), sandbox.AuthorityFile(s.dir), times).Harness(t)
	region := build(t, h.Provider, h.Region)
	kubeconfig := filepath.Join(s.home, "kubeconfig")
	at := []string{"--resource-group", segment(region.cluster.ID, "resourceGroups"), "--name", region.cluster.Name}
	for _, az := range s.find("az", "aks show, get-credentials") {
		az.run("aks show", says("Succeeded "+region.spec.Location), append([]string{"aks", "show", "--query", "join(' ', [provisioningState, location])", "--output", "tsv"}, at...)...)
		if !az.run("aks get-credentials", says(), append([]string{"aks", "get-credentials", "--file", kubeconfig}, at...)...) {
			continue
		}
		if s.has("kubelogin") { // which the kubeconfig names
			s.nodesBy(kubeconfig, "az")
		}
		var token string
		take := func(out string) error { token = strings.TrimSpace(out); return nil }
		if az.run("account get-access-token", take, "account", "get-access-token", "--resource", aksServer, "--query", "accessToken", "--output", "tsv") {
			s.nodesBy(kubeconfig, "az, with a token of az's", "--token", token)
		}
	}
}

// aksServer is the application for which all AKS clusters want tokens.
const aksServer = "6dae42f8-4368-4678-94ff-3960e28e3630"

// segment is what follows a name in a resource's id.
func segment(id, after string) string {
	parts := strings.Split(id, "/")
	for i := range len(parts) - 1 {
		if strings.EqualFold(parts[i], after) {
			return parts[i+1]
		}
	}
	return ""
}
