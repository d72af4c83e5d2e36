package stage

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// run executes the command in the container whose namespaces it was given and
// returns the command's exit code once it has ended.
func (e Exec) run(conn *os.File) (int, error) {
	if err := e.join(); err != nil {
		return 0, err
	}
	if err := errors.Join(setLimits(), hide()); err != nil {
		return 0, err
	}
	var report [2]int
	if err := unix.Pipe2(report[:], unix.O_CLOEXEC); err != nil {
		return 0, err
	}
	plan, err := e.plan(report[1])
	if err != nil {
		return 0, err
	}
	pid, errno := fork(plan)
	unix.Close(report[1])
	if errno != 0 {
		return 0, fmt.Errorf("fork: %w", errno)
	}
	if err := e.await(report[0]); err != nil {
		wait(int(pid))
		return 0, err
	}
	if err := json.NewEncoder(conn).Encode(Reply{PID: int(pid)}); err != nil {
		return 0, err
	}
	conn.Close()
	for fd := range 3 {
		unix.Close(fd) // the end of the command's output must be seen by the runtime
	}
	return wait(int(pid))
}

// join enters the namespaces that a process of many threads may enter. The
// process namespace counts for the child alone, so that the container never
// sees this program.
func (e Exec) join() error {
	for _, fd := range []int{netFD, ipcFD, utsFD, pidFD, mountFD, userFD} {
		unix.CloseOnExec(fd)
	}
	for fd, kind := range map[int]int{netFD: unix.CLONE_NEWNET, ipcFD: unix.CLONE_NEWIPC, utsFD: unix.CLONE_NEWUTS, pidFD: unix.CLONE_NEWPID} {
		if err := unix.Setns(fd, kind); err != nil {
			return fmt.Errorf("enter the container's namespaces: %w", err)
		}
	}
	return nil
}

// await reads what became of the child: nothing if it executed the command.
func (e Exec) await(report int) error {
	var raw [2]byte
	n, err := ignoreInterrupt(func() (int, error) { return unix.Read(report, raw[:]) })
	if err != nil {
		return fmt.Errorf("wait for the command: %w", err)
	}
	if n < len(raw) {
		return nil
	}
	step, errno := int(raw[0]), syscall.Errno(raw[1])
	if step == stepExec && errno == syscall.ENOENT {
		return e.Command.notFound()
	}
	if step == stepExec {
		return fmt.Errorf("exec: %q: %w", e.Command.Args[0], errno)
	}
	return fmt.Errorf("%s: %w", stepNames[step], errno)
}

func wait(pid int) (int, error) {
	var status unix.WaitStatus
	_, err := ignoreInterrupt(func() (int, error) { return unix.Wait4(pid, &status, 0, nil) })
	if err != nil {
		return 0, fmt.Errorf("wait for the command: %w", err)
	}
	if status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}

func ignoreInterrupt(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
