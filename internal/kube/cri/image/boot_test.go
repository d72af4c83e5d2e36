package image

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// TestLayersOfAnotherRunOfTheMachineAreNotBelieved: after a power cut they may
// be empty.
func TestLayersOfAnotherRunOfTheMachineAreNotBelieved(t *testing.T) {
	dir, was := t.TempDir(), bootFile
	defer func() { bootFile = was }()
	bootFile = filepath.Join(dir, "boot_id")
	start := func(boot string) *Store {
		t.Helper()
		if err := os.WriteFile(bootFile, []byte(boot+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := Open(filepath.Join(dir, "store"), nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := start("one")
	s.index.Images["sha256:1"] = &Image{ID: "sha256:1", Tags: []string{"a:b"}}
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	if got := len(start("one").index.Images); got != 1 {
		t.Errorf("started again in the same run of the machine it has %d images, want 1", got)
	}
	if got := len(start("two").index.Images); got != 0 {
		t.Errorf("after the machine was started anew it believes %d images", got)
	}
}
