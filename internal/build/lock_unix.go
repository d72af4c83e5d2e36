//go:build unix

package build

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// lock holds the file until it is closed or this process dies, and fails when somebody holds it.
func lock(name string) (*os.File, error) {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// lockPause is how often a lock that somebody holds is tried: nothing tells when it is free and can be given up too.
const lockPause = 100 * time.Millisecond

// awaitLock takes the open file's lock, alone or with others that do not want it alone, or in place of the other. It
// waits no longer than ctx lasts.
func awaitLock(ctx context.Context, file *os.File, alone bool) error {
	how := syscall.LOCK_SH
	if alone {
		how = syscall.LOCK_EX
	}
	for {
		err := syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		select {
		case <-ctx.Done():
			return stopped(ctx)
		case <-time.After(lockPause):
		}
	}
}
