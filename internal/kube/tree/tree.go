// Package tree removes folders that containers have written to: a node's, a
// pod's, a volume's. Containers may leave folders in them that not even their
// owner can enter, and there os.RemoveAll gives up.
//
// It is not a library for files: what a package writes alone, it removes alone.
// It imports nothing of ours, and every package of m3o-kube may import it.
package tree

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Remove removes path and everything in it. Folders that cannot be entered are
// opened first. A path that is not there is fine.
func Remove(path string) error {
	if err := os.RemoveAll(path); err == nil {
		return nil
	}
	open := func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			_ = os.Chmod(name, 0o700)
		}
		return nil
	}
	// What cannot be opened shows in the second try.
	_ = filepath.WalkDir(path, open)
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("remove %s: %w", filepath.Base(path), err)
	}
	return nil
}
