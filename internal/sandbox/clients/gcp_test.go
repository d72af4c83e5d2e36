//go:build clients

package clients

import (
	"path/filepath"
	"testing"

	"github.com/m3o/platform/internal/cloud/gcp/gcptest"
)

// useGCP has gcloud describe the region's cluster and write a kubeconfig, by which kubectl asks gcloud's plugin for a token.
func useGCP(t *testing.T, s *sandboxed) {
	account := gcptest.Open(t, s.at.Providers[s.cloud], s.at.Control, s.credentials())
	region := build(t, account.Provider(t), gcptest.Region)
	kubeconfig := filepath.Join(s.home, "kubeconfig")
	s.env = append(s.env, "KUBECONFIG="+kubeconfig)
	at := []string{region.cluster.Name, "--location", region.spec.Location}
	for _, gcloud := range s.find("gcloud", "container clusters describe, get-credentials") {
		gcloud.run("container clusters describe", says("RUNNING "+region.network.Name),
			append([]string{"container", "clusters", "describe", "--format", "value[separator=' '](status,network.basename())"}, at...)...)
		if gcloud.run("container clusters get-credentials", says(), append([]string{"container", "clusters", "get-credentials"}, at...)...) && s.has("gke-gcloud-auth-plugin") {
			s.nodesBy(kubeconfig, "gcloud")
		}
	}
}
