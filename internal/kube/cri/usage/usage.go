// Package usage measures processes through /proc: what a container uses where
// there is no cgroup to ask. A container's processes are those in its mount
// namespace. It keeps no history. Only package cri may import it.
package usage

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of CPU time in /proc, the same on all machines.
const tick = 10 * time.Millisecond

// Sample is what some processes use together.
type Sample struct {
	// CPU is their time, and that of their children that have ended.
	CPU time.Duration
	// Memory is their share of all pages, Anonymous of those that are no file's.
	Memory, Anonymous uint64
	// Minor and Major are page faults.
	Minor, Major uint64
	Processes    uint64
}

// Scan groups the processes of the node by mount namespace.
func Scan() (map[uint64][]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	groups := map[uint64][]int{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		var st unix.Stat_t
		if unix.Stat("/proc/"+entry.Name()+"/ns/mnt", &st) == nil {
			groups[st.Ino] = append(groups[st.Ino], pid)
		}
	}
	return groups, nil
}

// Key is the number of an open namespace, as Scan has it.
func Key(namespace *os.File) (uint64, error) {
	info, err := namespace.Stat()
	if err != nil {
		return 0, err
	}
	return info.Sys().(*syscall.Stat_t).Ino, nil
}

// Members are the processes in a mount namespace.
func Members(namespace *os.File) ([]int, error) {
	key, err := Key(namespace)
	if err != nil {
		return nil, err
	}
	groups, err := Scan()
	return groups[key], err
}

// Measure adds up what the processes use. Those that end meanwhile are left out.
func Measure(pids []int) Sample {
	var sum Sample
	for _, pid := range pids {
		dir := "/proc/" + strconv.Itoa(pid)
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue
		}
		sum.Processes++
		sum.addStat(string(stat))
		if rollup, err := os.ReadFile(dir + "/smaps_rollup"); err == nil {
			sum.addRollup(rollup)
		}
	}
	return sum
}

// addStat adds the numbers of a stat file, whose fields are counted from the
// end of the program's name.
func (s *Sample) addStat(stat string) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 15 {
		return
	}
	number := func(i int) uint64 {
		n, _ := strconv.ParseUint(fields[i], 10, 64)
		return n
	}
	s.Minor += number(7)
	s.Major += number(9)
	s.CPU += time.Duration(number(11)+number(12)+number(13)+number(14)) * tick
}

func (s *Sample) addRollup(rollup []byte) {
	lines := bufio.NewScanner(bytes.NewReader(rollup))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		kilobytes, _ := strconv.ParseUint(fields[1], 10, 64)
		switch fields[0] {
		case "Pss:":
			s.Memory += kilobytes << 10
		case "Pss_Anon:":
			s.Anonymous += kilobytes << 10
		}
	}
}

// Exceeds reports whether the processes hold more than the limit, and how much
// that is; what is held is exact only when it is more. What counts is memory
// that has no file to go back to: anonymous pages, and pages of shared memory
// and tmpfs that are mapped. A page of several processes counts once. Pages of
// mapped files do not count, nor does the kernel's cache of what is read and
// written: the kernel takes both back when it needs room.
func Exceeds(pids []int, limit uint64) (held uint64, over bool) {
	// Each measure is no less than the next, and much cheaper.
	for _, measure := range []func(int) uint64{resident, fileless, proportional} {
		held = 0
		for _, pid := range pids {
			held += measure(pid)
		}
		if held <= limit {
			return held, false
		}
	}
	return held, true
}

// resident is all that a process has in memory.
func resident(pid int) uint64 {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(raw)
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseUint(string(fields[1]), 10, 64)
	return pages * uint64(os.Getpagesize())
}

// fileless is what of that has no file, wholly counted where it is shared.
func fileless(pid int) uint64 { return kilobytes(pid, "status", "RssAnon:", "RssShmem:") << 10 }

// proportional is the process's share of that.
func proportional(pid int) uint64 {
	return kilobytes(pid, "smaps_rollup", "Pss_Anon:", "Pss_Shmem:") << 10
}

// kilobytes adds up lines of a file of the process.
func kilobytes(pid int, file string, names ...string) uint64 {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/" + file)
	if err != nil {
		return 0
	}
	var sum uint64
	for line := range strings.Lines(string(raw)) {
		if fields := strings.Fields(line); len(fields) > 1 && slices.Contains(names, fields[0]) {
			n, _ := strconv.ParseUint(fields[1], 10, 64)
			sum += n
		}
	}
	return sum
}

// Interface is the traffic of a network interface.
type Interface struct {
	Name                                 string
	RxBytes, RxErrors, TxBytes, TxErrors uint64
}

// Interfaces are those of the process's network namespace, but for loopback.
func Interfaces(pid int) ([]Interface, error) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/net/dev")
	if err != nil {
		return nil, fmt.Errorf("read interfaces: %w", err)
	}
	var found []Interface
	for line := range strings.Lines(string(raw)) {
		name, rest, ok := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if name = strings.TrimSpace(name); !ok || name == "lo" || len(fields) < 11 {
			continue
		}
		i := Interface{Name: name}
		for at, to := range map[int]*uint64{0: &i.RxBytes, 2: &i.RxErrors, 8: &i.TxBytes, 10: &i.TxErrors} {
			*to, _ = strconv.ParseUint(fields[at], 10, 64)
		}
		found = append(found, i)
	}
	return found, nil
}

// Disk is the room and the number of files below dir. What cannot be read is
// left out.
func Disk(dir string) (size, inodes uint64) {
	filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return nil
		}
		inodes++
		size += uint64(info.Sys().(*syscall.Stat_t).Blocks) * 512
		return nil
	})
	return size, inodes
}
