package process

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Namespaces are open namespaces of a process. Those that are nil are the
// node's.
type Namespaces struct {
	Net, IPC, UTS, PID, Mount, User *os.File
}

// Open opens the namespaces of a process; ownUser says that it has a user
// namespace of its own.
func Open(pid int, ownUser bool) (Namespaces, error) {
	var n Namespaces
	for _, place := range []struct {
		name string
		file **os.File
	}{{"net", &n.Net}, {"ipc", &n.IPC}, {"uts", &n.UTS}, {"pid", &n.PID}, {"mnt", &n.Mount}, {"user", &n.User}} {
		if place.name == "user" && !ownUser {
			continue
		}
		file, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/" + place.name)
		if err != nil {
			n.Close()
			return Namespaces{}, fmt.Errorf("open the namespaces of process %d: %w", pid, err)
		}
		*place.file = file
	}
	return n, nil
}

// Files are the namespaces in the order that an exec stage wants.
func (n Namespaces) Files() []*os.File {
	files := []*os.File{n.Net, n.IPC, n.UTS, n.PID, n.Mount}
	if n.User != nil {
		files = append(files, n.User)
	}
	return files
}

// Close closes all that are open.
func (n Namespaces) Close() {
	for _, file := range []*os.File{n.Net, n.IPC, n.UTS, n.PID, n.Mount, n.User} {
		if file != nil {
			file.Close()
		}
	}
}

// Spawner is the one thread that starts processes. A thread of its own,
// because what it enters must not leak into others, and because the kernel
// ends a child that asked for it with the thread, not the process, that
// started it. The thread also has a working directory of its own.
type Spawner struct {
	calls chan func()
	home  Namespaces
}

// NewSpawner starts the thread, in the folder dir. It lasts as long as the
// program.
func NewSpawner(dir string) (*Spawner, error) {
	s := &Spawner{calls: make(chan func())}
	ready := make(chan error)
	go s.serve(dir, ready)
	return s, <-ready
}

func (s *Spawner) serve(dir string, ready chan<- error) {
	runtime.LockOSThread() // for good: no other goroutine may run on it
	err := s.settle(dir)
	ready <- err
	if err != nil {
		return
	}
	for call := range s.calls {
		call()
	}
}

func (s *Spawner) settle(dir string) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("give the spawning thread a folder of its own: %w", err)
	}
	if err := unix.Chdir(dir); err != nil {
		return fmt.Errorf("enter %s: %w", dir, err)
	}
	var err error
	s.home, err = Open(unix.Gettid(), false)
	return err
}

// Do runs f on the thread and waits for it.
func (s *Spawner) Do(f func() error) error {
	result := make(chan error, 1)
	s.calls <- func() { result <- f() }
	return <-result
}

// inside runs f on the current thread, inside the given namespaces, and comes
// back. A thread that cannot come back would start everything in the wrong
// place, so that is the end of the program; the kernel gives no cause for it.
func (s *Spawner) inside(n Namespaces, f func() error) error {
	err := enter(n)
	if err == nil {
		err = f()
	}
	if back := enter(Namespaces{Net: s.home.Net, IPC: s.home.IPC, UTS: s.home.UTS, PID: s.home.PID}); back != nil {
		panic(errors.Join(back, err))
	}
	return err
}

func enter(n Namespaces) error {
	for _, place := range []struct {
		file *os.File
		kind int
	}{{n.Net, unix.CLONE_NEWNET}, {n.IPC, unix.CLONE_NEWIPC}, {n.UTS, unix.CLONE_NEWUTS}, {n.PID, unix.CLONE_NEWPID}} {
		if place.file == nil {
			continue
		}
		if err := unix.Setns(int(place.file.Fd()), place.kind); err != nil {
			return fmt.Errorf("enter the namespace %s: %w", place.file.Name(), err)
		}
	}
	return nil
}

// InNetwork runs f on a thread inside a network namespace. The thread is not
// used for anything else afterwards.
func InNetwork(file *os.File, f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := enter(Namespaces{Net: file})
		if err == nil {
			err = f()
		}
		result <- err
	}()
	return <-result
}
