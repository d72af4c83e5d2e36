package source

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/fault"
)

// sparse is an archive of about a kilobyte whose one file claims to have size bytes, all of them a hole.
func sparse(t testing.TB, size int64) []byte {
	t.Helper()
	// The library writes no such records: they are written under a name of equal length and renamed.
	const ours, real = "OUR.sparse.", "GNU.sparse."
	body := make([]byte, 512)
	copy(body, "0\n") // a map of no data
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Name: "hole", Typeflag: tar.TypeReg, Size: int64(len(body)), Mode: 0o644, Format: tar.FormatPAX,
		PAXRecords: map[string]string{ours + "major": "1", ours + "minor": "0", ours + "name": "hole", ours + "realsize": fmt.Sprint(size)}})
	if err != nil {
		t.Fatal(err)
	}
	w.Write(body)
	w.Close()
	return zipped([]byte(strings.ReplaceAll(b.String(), ours, real)))
}

func TestASparseFileIsNoWayAroundTheLimits(t *testing.T) {
	for _, size := range []int64{1 << 40, 1 << 62} {
		_, err := Check(t.Context(), bytes.NewReader(sparse(t, size)), Limits{})
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "sparse") {
			t.Errorf("%d bytes: Check = %v", size, err)
		}
	}
}

// TestALeavingClientEndsTheCheck sends an archive whose content never ends, and goes away.
func TestALeavingClientEndsTheCheck(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	in, out := io.Pipe()
	defer in.Close()
	go func() {
		z := gzip.NewWriter(out)
		w := tar.NewWriter(z)
		w.WriteHeader(&tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Size: 1 << 40, Mode: 0o644})
		io.CopyN(w, zeros{}, 10<<20)
		cancel(errors.New("the client left"))
		io.CopyN(w, zeros{}, 1<<40)
	}()
	limits := Limits{Packed: 1 << 50, Unpacked: 1 << 50}
	_, checked := Check(ctx, in, limits)
	_, unpacked := Unpack(ctx, bytes.NewReader(archiveOf(t, tar.Header{Name: "x"})), filepath.Join(t.TempDir(), "in"), someDigest, limits)
	for _, err := range []error{checked, unpacked} {
		if err == nil || !strings.Contains(err.Error(), "the client left") || fault.Is(err, fault.Invalid) {
			t.Errorf("err = %v", err)
		}
	}
}
