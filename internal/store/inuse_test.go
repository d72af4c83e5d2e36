package store_test

import (
	"fmt"
	"testing"

	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/store"
)

func digestOf(n int) string { return fmt.Sprintf("sha256:%064x", n) }

func TestWhatReleasesNeedIsInUse(t *testing.T) {
	s := fresh(t)
	const all = store.KeptReleases + 5
	for n := 1; n <= all; n++ {
		req := request(hello)
		req.Origin = release.Origin{Source: digestOf(n)}
		r, err := s.AllocateRelease(t.Context(), release.Allocation{Request: req, RequestKey: fmt.Sprint(n)})
		must(t, err)
		r.Image, r.Status, r.Version = fmt.Sprintf("registry/hello@image-%d", n), release.Superseded, 1
		if n == 3 {
			r.Status = release.Deploying // for ever so long
		}
		must(t, s.RecordRelease(t.Context(), r))
	}
	must(t, s.RecordService(t.Context(), release.Service{Key: hello, Status: release.Running, Current: 2, Version: 1}))
	in, err := s.InUse(t.Context())
	must(t, err)
	for n := 1; n <= all; n++ {
		want := n > all-store.KeptReleases || n == 2 || n == 3
		if in.Sources[digestOf(n)] != want || in.Images[fmt.Sprintf("image-%d", n)] != want {
			t.Errorf("release %d in use: %t, want %t", n, !want, want)
		}
	}
}
