package tree_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/m3o/platform/internal/kube/tree"
)

// Root enters every folder, so as root this shows less.
func TestRemoveOpensWhatIsClosed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "volume")
	inner := filepath.Join(dir, "closed", "deeper")
	if err := os.MkdirAll(inner, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(inner, "file"), nil, 0o400); err != nil {
		t.Fatal(err)
	}
	for _, closed := range []string{inner, filepath.Dir(inner)} {
		if err := os.Chmod(closed, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := tree.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there: %v", dir, err)
	}
	if err := tree.Remove(dir); err != nil {
		t.Errorf("what is gone: %v", err)
	}
}
