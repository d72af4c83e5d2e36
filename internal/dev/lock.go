package dev

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/m3o/platform/internal/fault"
)

// lock takes the data directory for this process. The kernel lets go of it when the process ends, however it ends.
func lock(dir string) (release func(), err error) {
	if err := os.MkdirAll(filepath.Join(dir, "run"), 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "run", "dev.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer file.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock the data directory: %w", err)
		}
		return nil, fault.New(fault.Conflict, "the data directory %s is in use by process %s: stop it, or choose another with --data-dir", dir, readHolder(file))
	}
	if err := errors.Join(file.Truncate(0), writeAt(file, strconv.Itoa(os.Getpid()))); err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	return func() { file.Close() }, nil
}

// holder says which process holds the lock on a file, by what it wrote there; nobody is no word at all. To look is to hold
// it for an instant.
func holder(path string) (pid string, held bool) {
	file, err := os.Open(path)
	if err != nil {
		return "", false
	}
	defer file.Close()
	if !errors.Is(syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK) {
		return "", false
	}
	return readHolder(file), true
}

// readHolder is the process that wrote itself into the file it locked: a courtesy, which may be missing.
func readHolder(file io.Reader) (pid string) {
	written, _ := io.ReadAll(io.LimitReader(file, 20)) // what came before an error is still worth showing
	return strings.TrimSpace(string(written))
}

func writeAt(file *os.File, text string) error {
	_, err := file.WriteAt([]byte(text+"\n"), 0)
	return err
}
