package clusters

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// maxPlaces is how many clusters one sandbox can have at a time.
const maxPlaces = 32

// folderLength is the length of folders' names.
const folderLength = 8

// safeName is what may become part of a file's name.
var safeName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,200}$`)

// Processes runs each cluster as one m3o-kube process. Processes outlive us, and the next Processes on the same directory
// finds them again.
type Processes struct {
	binary string
	dir    string
	runDir string
	open   []int
	logger *slog.Logger

	mu      sync.Mutex
	running map[string]*process
}

// NewProcesses runs m3o-kube from binary, keeps the clusters' state below dir and their pid files in runDir. Of this
// machine's loopback, pods and nodes reach the open ports and no others.
func NewProcesses(binary, dir, runDir string, open []int, logger *slog.Logger) (*Processes, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	for _, d := range []string{dir, runDir} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("make the clusters' directory: %w", err)
		}
	}
	return &Processes{binary: binary, dir: dir, runDir: runDir, open: open, logger: logger, running: map[string]*process{}}, nil
}

// Places are networks in 127.0.0.0/8, one per cluster, for its load balancers. They depend on the directory, so that two
// sandboxes on one machine are unlikely to want the same.
func (p *Processes) Places() []string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(p.dir))
	block := int(h.Sum32() % (200 * 8))
	places := make([]string, maxPlaces)
	for i := range places {
		places[i] = fmt.Sprintf("127.%d.%d.0/24", 16+block/8, block%8*maxPlaces+i)
	}
	return places
}

// Apply implements Runner.
func (p *Processes) Apply(ctx context.Context, w Wanted) error {
	proc, err := p.process(w.ID)
	if err != nil {
		return err
	}
	if err := p.writeSpec(proc.dir, w); err != nil {
		return err
	}
	return proc.keepAlive(ctx, w.Name)
}

// writeSpec replaces cluster.json, if it is to say something else.
func (p *Processes) writeSpec(dir string, w Wanted) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the cluster's directory: %w", err)
	}
	path := filepath.Join(dir, "cluster.json")
	data, err := json.MarshalIndent(specOf(w, p.open), "", "  ")
	if err != nil {
		return err
	}
	old, err := readLimited(path)
	if err != nil {
		return err
	}
	if string(old) == string(data) {
		return nil
	}
	return replaceFile(path, data, 0o600)
}

// Status implements Runner.
func (p *Processes) Status(_ context.Context, id string) (Status, error) {
	proc, err := p.process(id)
	if err != nil {
		return Status{}, err
	}
	pid, failed, trouble := proc.condition()
	if pid == 0 {
		return Status{Failed: failed, Trouble: trouble}, nil
	}
	data, err := readLimited(filepath.Join(proc.dir, "status.json"))
	if err != nil || len(data) == 0 {
		return Status{Alive: true, Trouble: trouble}, err
	}
	file, err := parseStatus(data)
	if err != nil {
		return Status{Alive: true, Trouble: trouble}, err
	}
	if file.PID != pid {
		return Status{Alive: true, Trouble: trouble}, nil // written by a process that is gone
	}
	status := Status{Alive: true, Ready: file.Ready, Version: file.Version, Endpoint: file.Endpoint,
		Nodes: map[string]bool{}, Trouble: file.Error}
	if !status.Ready {
		status.Trouble = cmp.Or(file.Error, trouble)
	}
	for _, node := range file.Nodes {
		status.Nodes[node.Name] = node.Ready
	}
	return status, nil
}

// Access implements Runner.
func (p *Processes) Access(ctx context.Context, id string) (Access, error) {
	status, err := p.Status(ctx, id)
	if err != nil {
		return Access{}, err
	}
	if !status.Ready || status.Endpoint == "" {
		return Access{}, ErrNotReady
	}
	dir := filepath.Join(p.dir, folderOf(id))
	ca, err := readLimited(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return Access{}, fmt.Errorf("read the cluster's authority: %w", err)
	}
	token, err := readLimited(filepath.Join(dir, "admin.token"))
	if err != nil {
		return Access{}, fmt.Errorf("read the cluster's token: %w", err)
	}
	if len(ca) == 0 || len(token) == 0 {
		return Access{}, ErrNotReady
	}
	return Access{Server: status.Endpoint, CA: ca, Token: strings.TrimSpace(string(token))}, nil
}

// Remove implements Runner.
func (p *Processes) Remove(ctx context.Context, id string) error {
	proc, err := p.process(id)
	if err != nil {
		return err
	}
	if err := proc.stop(ctx); err != nil {
		return err
	}
	if err := removeTree(proc.dir); err != nil {
		return fmt.Errorf("remove the cluster's state: %w", err)
	}
	p.mu.Lock()
	delete(p.running, folderOf(id))
	p.mu.Unlock()
	return nil
}

// StopAll stops all processes and keeps their state. It is for the end of the sandbox: nothing may be applied afterwards.
func (p *Processes) StopAll(ctx context.Context) error {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return err
	}
	var group sync.WaitGroup
	failures := make([]error, len(entries))
	for i, entry := range entries {
		proc, err := p.process(entry.Name())
		if err != nil {
			continue // not one of ours
		}
		group.Go(func() { failures[i] = proc.stop(ctx) })
	}
	group.Wait()
	return errors.Join(failures...)
}

// process returns what we know of a cluster's process, and finds a running one the first time.
func (p *Processes) process(id string) (*process, error) {
	if !safeName.MatchString(id) {
		return nil, fmt.Errorf("%q cannot be a cluster's id", id)
	}
	folder := folderOf(id)
	p.mu.Lock()
	defer p.mu.Unlock()
	if proc := p.running[folder]; proc != nil {
		return proc, nil
	}
	dir := filepath.Join(p.dir, folder)
	proc := &process{binary: p.binary, dir: dir, runDir: p.runDir, logger: p.logger.With("cluster", id), pid: findProcess(dir)}
	proc.pidFile = proc.pidFileOf(knownName(dir))
	if proc.pid != 0 {
		proc.logger.Info("sandbox: found a running cluster", "pid", proc.pid)
		proc.startedAt = time.Now()
	}
	p.running[folder] = proc
	return proc, nil
}

// folderOf is the name of a cluster's folder. It is short, because below it are unix sockets, whose paths may have no more
// than 107 characters. A folder's name is its own.
func folderOf(id string) string {
	if len(id) == folderLength {
		return id
	}
	if _, err := uuid.Parse(id); err == nil {
		return id[:folderLength]
	}
	digest := sha256.Sum256([]byte(id))
	return hex.EncodeToString(digest[:])[:folderLength]
}

// knownName is the name in a cluster's wanted state, "" if there is none yet.
func knownName(dir string) string {
	data, err := readLimited(filepath.Join(dir, "cluster.json"))
	if err != nil {
		return ""
	}
	var spec specFile
	if err := json.Unmarshal(data, &spec); err != nil {
		return ""
	}
	return spec.Name
}

// removeTree removes a directory, also where a container left folders it may not write to.
func removeTree(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			return os.Chmod(path, 0o700) // before its entries are read
		}
		return nil
	})
	return errors.Join(err, os.RemoveAll(dir))
}
