package clusterstest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// IsStandIn says whether a test binary was started as "m3o-kube version --json" or "m3o-kube cluster --dir DIR".
func IsStandIn(args []string) bool {
	return len(args) == 3 && args[1] == "version" || len(args) == 4 && args[1] == "cluster" && args[2] == "--dir"
}

// StandIn keeps m3o-kube's contract with the process that starts it, without a Kubernetes: a real process with lock, status,
// token and signals, to test how processes are started, found, stopped and lost. It returns the exit code. What the files
// "refuse" and "crash" in the directory say is what it dies of; with the file "needs-owner" it does so when it has not heard of an
// owner for a minute. SIGUSR1 makes it start itself anew, as often as the file "again" says.
func StandIn(args []string) int {
	if args[1] == "version" {
		fmt.Println(`{"kubernetes":"v1.37.2","emulates":["1.37","1.36","1.35","1.34"]}`)
		return 0
	}
	dir := args[3]
	if abandoned(dir) {
		fmt.Fprintln(os.Stderr, "nobody owns the cluster")
		return 1
	}
	for file, code := range map[string]int{"refuse": 3, "crash": 1} {
		if words, err := os.ReadFile(filepath.Join(dir, file)); err == nil {
			fmt.Fprintln(os.Stderr, string(words))
			return code
		}
	}
	if left, err := os.ReadFile(filepath.Join(dir, "again")); err == nil && string(left) != "0" {
		fmt.Fprintln(os.Stderr, startAnew(dir))
		return 1
	}
	if err := standIn(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func abandoned(dir string) bool {
	if _, err := os.Stat(filepath.Join(dir, "needs-owner")); err != nil {
		return false
	}
	info, err := os.Stat(filepath.Join(dir, "owner"))
	return err != nil || time.Since(info.ModTime()) > time.Minute
}

func standIn(dir string) error {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("%s is in use by another process: %w", dir, err)
	}
	fmt.Fprintln(os.Stderr, "the stand-in has the directory")
	for name, text := range map[string]string{"admin.token": "token\n", "ca.crt": "authority\n", "admin.kubeconfig": "{}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGUSR1)
	for {
		if err := writeStatus(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		select {
		case <-stop:
			return nil
		case <-again:
			return startAnew(dir)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// startAnew counts the file "again" down, and replaces the process by itself.
func startAnew(dir string) error {
	path := filepath.Join(dir, "again")
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	left, err := strconv.Atoi(string(data))
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(max(0, left-1))), 0o600); err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", os.Args, nil)
}

// writeStatus says that everything wanted is there.
func writeStatus(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "cluster.json"))
	if err != nil {
		return err
	}
	var wanted struct {
		Version string
		Nodes   []struct{ Name string }
	}
	if err := json.Unmarshal(data, &wanted); err != nil {
		return err
	}
	nodes := []map[string]any{}
	for _, node := range wanted.Nodes {
		nodes = append(nodes, map[string]any{"name": node.Name, "ready": true})
	}
	status, err := json.Marshal(map[string]any{"pid": os.Getpid(), "ready": true, "endpoint": "https://127.0.0.1:6443",
		"version": "v" + wanted.Version + ".0", "nodes": nodes, "error": ""})
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "status.json")
	if err := os.WriteFile(path+".new", status, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
