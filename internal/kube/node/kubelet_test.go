package node

import (
	"testing"

	"k8s.io/kubernetes/cmd/kubelet/app/options"
)

// TestKubeletCollectsUnusedImages: by age, not by how full the developer's disk
// is. With neither, the kubelet collects none.
func TestKubeletCollectsUnusedImages(t *testing.T) {
	server, err := kubeletServer(Config{Name: "node-a", Index: 1, Dir: t.TempDir()}, "unix:///run/cri.sock")
	if err != nil {
		t.Fatal(err)
	}
	if server.ImageGCHighThresholdPercent != 100 {
		t.Errorf("images go when the disk is %d percent full", server.ImageGCHighThresholdPercent)
	}
	if age := server.ImageMaximumGCAge.Duration; age != unusedImageAge {
		t.Errorf("unused images are kept for %s", age)
	}
	if err := options.ValidateKubeletServer(server); err != nil {
		t.Error(err)
	}
}
