package sandbox

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// lock makes us the directory's only process. The kernel lets go of it when we end, however that is.
func lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the sandbox's directory: %w", err)
	}
	if err := insist(f); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(f, 32))
		_ = f.Close() // the lock is not ours
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("the sandbox directory %s is in use by process %s", dir, strings.TrimSpace(string(holder)))
		}
		return nil, fmt.Errorf("lock the sandbox's directory: %w", err)
	}
	err = errors.Join(f.Truncate(0), writeAt(f, fmt.Sprintf("%d\n", os.Getpid())))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write the sandbox's lock: %w", err), f.Close())
	}
	return func() { _ = f.Close() }, nil // closing lets go of the lock
}

// lockPatience is for the instant in which a process that a killed sandbox was just starting still shares its lock.
const lockPatience = time.Second

// insist takes the lock, if it is free or soon will be.
func insist(f *os.File) error {
	deadline := time.Now().Add(lockPatience)
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil || !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// keptToken reads the token in a file, and makes one the first time.
func keptToken(path, prefix string) (string, error) {
	data, err := os.ReadFile(path)
	if err == nil {
		if token := strings.TrimSpace(string(data)); token != "" {
			return token, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the token: %w", err)
	}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	token := prefix + hex.EncodeToString(secret)
	if err := writeWhole(path, []byte(token+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write the token: %w", err)
	}
	return token, nil
}

// writeWhole writes a file beside and renames it, so that a kill leaves no half of it.
func writeWhole(path string, data []byte, mode fs.FileMode) error {
	beside := path + ".new"
	if err := os.WriteFile(beside, data, mode); err != nil {
		return err
	}
	return os.Rename(beside, path)
}
