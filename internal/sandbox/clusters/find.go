package clusters

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// findProcess returns the id of the m3o-kube that runs the cluster of dir, 0 if there is none. It looks at the machine's
// processes, not at what was written down: a process started an instant before a kill is found too, and a process that got
// a dead one's number is not mistaken for it.
func findProcess(dir string) int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err == nil && runsCluster(pid, dir) {
			return pid
		}
	}
	return 0
}

// runsCluster says whether process pid is "m3o-kube cluster --dir dir" and not a zombie.
func runsCluster(pid int, dir string) bool {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil {
		return false
	}
	return isClusterCommand(data, dir)
}

const (
	// looks is how often in a row a process must look dead to be so.
	looks = 5
	// lookPause lets a process that starts itself anew get on.
	lookPause = 4 * time.Millisecond
)

// stillRuns says whether a process known to run the cluster of dir still does. One that starts itself anew, as m3o-kube does for
// another version, looks dead for an instant; one that is dead goes on looking so.
func stillRuns(pid int, dir string) bool {
	for range looks {
		if looksAlive(pid, dir) {
			return true
		}
		time.Sleep(lookPause)
	}
	return false
}

// looksAlive says whether a process looks as if it ran the cluster of dir. One that starts itself anew has no command line for an
// instant; nor has a zombie, which does not run. While the thread that starts anew ends the others, its process is a zombie, too,
// but one with a thread (execve(2), proc(5)). The files are read one after the other, so that a look can fall between.
func looksAlive(pid int, dir string) bool {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	data, err := os.ReadFile(filepath.Join(proc, "cmdline"))
	if err != nil {
		return false
	}
	if len(data) > 0 {
		return isClusterCommand(data, dir)
	}
	threads, err := os.ReadDir(filepath.Join(proc, "task"))
	if err != nil || len(threads) > 1 {
		return err == nil
	}
	stat, err := os.ReadFile(filepath.Join(proc, "stat"))
	return err == nil && !isDead(stat)
}

// isDead looks at a /proc/PID/stat: the state is the letter after the name, which is in brackets and can have any.
func isDead(stat []byte) bool {
	i := bytes.LastIndexByte(stat, ')')
	return i < 0 || i+2 >= len(stat) || stat[i+2] == 'Z' || stat[i+2] == 'X'
}

// isClusterCommand looks at a /proc/PID/cmdline; that of a zombie is empty.
func isClusterCommand(cmdline []byte, dir string) bool {
	args := bytes.Split(bytes.TrimSuffix(cmdline, []byte{0}), []byte{0})
	return len(args) == 4 && string(args[1]) == "cluster" && string(args[2]) == "--dir" && string(args[3]) == dir
}

// signal sends sig to a process group, or if it is none to the process.
func signal(pid int, sig syscall.Signal) error {
	err := syscall.Kill(-pid, sig)
	if errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.EPERM) {
		err = syscall.Kill(pid, sig)
	}
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}
