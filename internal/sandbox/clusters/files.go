package clusters

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxFile bounds every file we read that another process wrote.
const maxFile = 1 << 20

// specFile and statusFile are the contract with m3o-kube (internal/kube/README.md).
type specFile struct {
	Name             string     `json:"name"`
	Version          string     `json:"version"`
	APIPort          int        `json:"apiPort"`
	LoadBalancerCIDR string     `json:"loadBalancerCIDR"`
	OpenPorts        []int      `json:"openPorts"`
	Authenticator    string     `json:"authenticator,omitempty"`
	Nodes            []specNode `json:"nodes"`
}

type specNode struct {
	Name      string            `json:"name"`
	Pool      string            `json:"pool"`
	CPU       int               `json:"cpu"`
	MemoryMiB int               `json:"memoryMiB"`
	Labels    map[string]string `json:"labels"`
}

type statusFile struct {
	PID      int          `json:"pid"`
	Ready    bool         `json:"ready"`
	Endpoint string       `json:"endpoint"`
	Version  string       `json:"version"`
	Nodes    []statusNode `json:"nodes"`
	Error    string       `json:"error"`
}

type statusNode struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
}

func specOf(w Wanted, open []int) specFile {
	spec := specFile{Name: w.Name, Version: w.Version, LoadBalancerCIDR: w.Place, OpenPorts: open, Authenticator: w.Authenticator, Nodes: []specNode{}}
	for _, n := range w.Nodes {
		spec.Nodes = append(spec.Nodes, specNode(n))
	}
	return spec
}

// parseStatus reads a status.json.
func parseStatus(data []byte) (statusFile, error) {
	var status statusFile
	if err := json.Unmarshal(data, &status); err != nil {
		return status, fmt.Errorf("status.json: %w", err)
	}
	if status.PID < 0 {
		return status, fmt.Errorf("status.json: %d is not a process id", status.PID)
	}
	return status, nil
}

// readLimited reads a file of at most maxFile bytes. A missing one is empty.
func readLimited(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	return data, err
}

// replaceFile writes a file so that it is there whole or not at all, whenever we are killed.
func replaceFile(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, writeErr := f.Write(data)
	err = errors.Join(writeErr, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// copyFile makes to a copy of from as it is now, however much is appended meanwhile.
func copyFile(to, from string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyN(target, source, info.Size())
	return errors.Join(err, target.Close())
}
