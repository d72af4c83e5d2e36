package storage

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// RemoveTree removes what containers left in path. They may leave folders that
// even their owner cannot enter, so those are opened first.
func RemoveTree(path string) error {
	if err := os.RemoveAll(path); err == nil {
		return nil
	}
	walk := func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			_ = os.Chmod(name, 0o700)
		}
		return nil
	}
	// What cannot be opened shows in the second try.
	_ = filepath.WalkDir(path, walk)
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("remove %s: %w", filepath.Base(path), err)
	}
	return nil
}
