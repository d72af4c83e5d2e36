package clusters

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// A cluster outlives us, in case that we come back. In case that we do not, it has the file "owner": as long as we live, we
// touch it twice a minute, and an m3o-kube that finds it untouched for ten minutes stops by itself. The file has our process
// id, for people.

// Own touches the file of every cluster there is, wanted or not.
func (p *Processes) Own() error {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return err
	}
	var problems []error
	for _, entry := range entries {
		proc, err := p.process(entry.Name())
		if err != nil || proc.dir != filepath.Join(p.dir, entry.Name()) {
			continue // not one of ours
		}
		if err := proc.touch(); !errors.Is(err, fs.ErrNotExist) { // it may have gone since we looked
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// touch tells the process that it has an owner, unless it is to go anyway.
func (p *process) touch() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping {
		return nil
	}
	return p.own()
}

// own touches the file. The caller holds the lock, so that none is left in a directory that is being removed.
func (p *process) own() error {
	path, text := filepath.Join(p.dir, "owner"), strconv.Itoa(os.Getpid())+"\n"
	old, err := readLimited(path)
	if err == nil && string(old) == text {
		now := time.Now()
		err = os.Chtimes(path, now, now)
	} else if err == nil {
		err = replaceFile(path, []byte(text), 0o600)
	}
	if err != nil {
		return fmt.Errorf("touch the cluster's owner file: %w", err)
	}
	p.owned = true
	return nil
}
