package digitalocean_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/digitalocean/godo"
)

func volumeRequest(name string, tags ...string) *godo.VolumeCreateRequest {
	return &godo.VolumeCreateRequest{Name: name, Region: "lon1", SizeGigaBytes: 5, Description: "somebody's", Tags: tags}
}

// TestVolumesOfNoClusterStay: also one that bears a cluster's tag, as what a cluster left behind does.
func TestVolumesOfNoClusterStay(t *testing.T) {
	c := newCloud(t)
	cluster := c.cluster("lon1", 1)
	c.waitState(cluster.ID, godo.KubernetesClusterStatusRunning)
	made, response, err := c.Storage.CreateVolume(c.ctx, volumeRequest("disk-1", "k8s:"+cluster.ID))
	must(t, err)
	equal(t, "status", response.StatusCode, http.StatusCreated)
	_, err = c.Kubernetes.DeleteDangerous(c.ctx, cluster.ID)
	must(t, err)
	c.waitGone(cluster.ID)
	found, _, err := c.Storage.GetVolume(c.ctx, made.ID)
	must(t, err)
	equal(t, "name", found.Name, "disk-1")
	equal(t, "description", found.Description, "somebody's")
	equal(t, "size", found.SizeGigaBytes, 5)
	if !slices.Equal(found.Tags, []string{"k8s:" + cluster.ID}) {
		t.Errorf("its tags are %v", found.Tags)
	}
	c.balanced()
	_, err = c.Storage.DeleteVolume(c.ctx, made.ID)
	must(t, err)
	equal(t, "what is left", len(c.existing()), 0)
	c.balanced()
}

func TestVolumeRefusals(t *testing.T) {
	c := newCloud(t)
	_, _, err := c.Storage.CreateVolume(c.ctx, volumeRequest("disk-1"))
	must(t, err)
	_, _, err = c.Storage.CreateVolume(c.ctx, volumeRequest("disk-1"))
	refused(t, err, http.StatusConflict, "already exists")
	for words, change := range map[string]func(*godo.VolumeCreateRequest){
		"name":      func(r *godo.VolumeCreateRequest) { r.Name = "Disk" },
		"region":    func(r *godo.VolumeCreateRequest) { r.Region = "lon9" },
		"size":      func(r *godo.VolumeCreateRequest) { r.SizeGigaBytes = 0 },
		"between":   func(r *godo.VolumeCreateRequest) { r.SizeGigaBytes = 20_000 },
		"snapshots": func(r *godo.VolumeCreateRequest) { r.SnapshotID = "1" },
		"formats":   func(r *godo.VolumeCreateRequest) { r.FilesystemType = "ext4" },
		"tag":       func(r *godo.VolumeCreateRequest) { r.Tags = []string{"no spaces"} },
	} {
		request := volumeRequest("disk-2")
		change(request)
		_, _, err := c.Storage.CreateVolume(c.ctx, request)
		refused(t, err, http.StatusUnprocessableEntity, words)
	}
	equal(t, "volumes", len(c.existing()), 1)
	c.balanced()
}
