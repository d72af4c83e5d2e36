package image

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/fault"
)

const someDigest = "@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func TestAnImageOfOurRegistryIsItsProjects(t *testing.T) {
	for _, c := range []struct {
		registry, reference string
		ok                  bool
	}{
		{"127.0.0.1:5001", "127.0.0.1:5001/shop/hello:v1", true},
		{"127.0.0.1:5001", "127.0.0.1:5001/shop/hello" + someDigest, true},
		{"127.0.0.1:5001", "127.0.0.1:5001/shop/deep/er:v1", true},
		{"127.0.0.1:5001", "127.0.0.1:5001/other/hello" + someDigest, false},
		{"127.0.0.1:5001", "127.0.0.1:5001/shopping/hello:v1", false},
		{"127.0.0.1:5001", "127.0.0.1:5001/shop:v1", false},
		{"127.0.0.1:5001", "127.0.0.1:5001/m3o/etcd:v1", false},
		{"127.0.0.1:5001", "127.0.0.1:5001/shop/../other/hello" + someDigest, false},
		{"127.0.0.1:5001", "127.0.0.1:5001/shop/./hello:v1", false},
		{"127.0.0.1:5001", "127.0.0.1:5001/shop//hello:v1", false},
		{"127.0.0.1:5001", "127.0.0.1:5001/shop/hel..lo:v1", true},
		{"127.0.0.1:5001", "localhost:5001/other/hello", false},
		{"127.0.0.1:5001", "127.0.0.2:5001/other/hello", false},
		{"127.0.0.1:5001", "x.localhost:5001/other/hello", false},
		{"127.0.0.1:5001", "0.0.0.0:5001/other/hello", false},
		{"127.0.0.1:5001", "[::1]:5001/other/hello", false},
		{"127.0.0.1:5001", "127.0.0.1:5002/other/hello", true},
		{"127.0.0.1:5001", "registry.example.com/other/hello", true},
		{"127.0.0.1:5001", "busybox", true},
		{"registry.example.com/m3o", "registry.example.com/m3o/shop/hello:v1", true},
		{"registry.example.com/m3o", "registry.example.com/m3o/other/hello:v1", false},
		{"registry.example.com/m3o", "registry.example.com/shop/hello:v1", false},
		{"registry.example.com/m3o", "Registry.Example.com:443/m3o/other/hello:v1", false},
		{"registry.example.com/m3o", "registry.example.com:8443/m3o/other/hello:v1", true},
		{"", "registry.example.com/other/hello:v1", true},
	} {
		err := CheckOwner(c.registry, "shop", c.reference)
		if c.ok && err != nil || !c.ok && (!fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), c.reference) || !strings.Contains(err.Error(), "/shop/<service>")) {
			t.Errorf("%s in %s: %v", c.reference, c.registry, err)
		}
	}
	if err := CheckOwner("r.example.com", "", "r.example.com/x/y"); !fault.Is(err, fault.Denied) {
		t.Errorf("without a project: %v", err)
	}
	if err := CheckOwner("r.example.com", "shop", "a b"); !fault.Is(err, fault.Invalid) {
		t.Errorf("what is no reference: %v", err)
	}
}

// What one project has sent, another must send too: that the registry has it is no reason to have it.
func TestBlobsAreNotSharedBetweenProjects(t *testing.T) {
	_, host := collectable(t)
	img := randomImage(t)
	manifest, err := img.Manifest()
	must(err)
	raw, err := img.RawManifest()
	must(err)
	pushed(t, host+"/shop/hello", "v1", img)
	layer := manifest.Layers[0].Digest.String()
	base := "http://" + host + "/v2/"
	for path, want := range map[string]int{"shop/hello": http.StatusOK, "shop/second": http.StatusOK, "other/hello": http.StatusNotFound, "shop2/hello": http.StatusNotFound} {
		for _, method := range []string{"HEAD", "GET"} {
			if got := request(t, method, base+path+"/blobs/"+layer, "", nil).StatusCode; got != want {
				t.Errorf("%s of the layer in %s = %d, want %d", method, path, got, want)
			}
		}
	}
	for _, from := range []string{"", "&from=shop/hello", "&from=other/hello"} {
		if got := request(t, "POST", base+"other/hello/blobs/uploads/?mount="+layer+from, "", nil); got.StatusCode != http.StatusAccepted {
			t.Errorf("a mount%s = %d, want an upload to begin", from, got.StatusCode)
		}
	}
	if got := request(t, "POST", base+"shop/second/blobs/uploads/?mount="+layer+"&from=shop/hello", "", nil); got.StatusCode != http.StatusCreated {
		t.Errorf("a mount in the own project = %d", got.StatusCode)
	}
	kind := string(manifest.MediaType)
	if got := request(t, "PUT", base+"other/hello/manifests/v1", kind, strings.NewReader(string(raw))); got.StatusCode != http.StatusNotFound {
		t.Errorf("a manifest of another project's blobs = %d", got.StatusCode)
	}
	if got := request(t, "POST", base+"other/hello/blobs/uploads/?digest="+layer, "", strings.NewReader("garbage")); got.StatusCode != http.StatusBadRequest {
		t.Errorf("garbage under a digest that exists = %d", got.StatusCode)
	}
	if got := request(t, "GET", base+"other/hello/blobs/"+layer, "", nil).StatusCode; got != http.StatusNotFound {
		t.Errorf("after garbage, the layer is there: %d", got)
	}
	pushed(t, host+"/other/hello", "v1", img)
	pull(t, host+"/other/hello:v1")
}

// An image that lost a part is not there: it is pushed again, whole.
func TestAnImageThatLacksAPartIsPushedAgain(t *testing.T) {
	r, host := collectable(t)
	img := randomImage(t)
	manifest, err := img.Manifest()
	must(err)
	pushed(t, host+"/shop/hello", "v1", img)
	must(os.Remove(r.linkPath("shop", manifest.Layers[1].Digest.String())))
	if _, ok, err := (Client{}).Has(t.Context(), host+"/shop/hello:v1"); ok || err != nil {
		t.Errorf("Has = %t, %v", ok, err)
	}
	pushed(t, host+"/shop/hello", "v1", img)
	pull(t, host+"/shop/hello:v1")
}
