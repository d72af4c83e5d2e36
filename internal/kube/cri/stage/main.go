package stage

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

const specSize = 4 << 20

// The file descriptors of a stage: all have the first, Exec has all but that
// userFD is there only if the container has a user namespace of its own.
const (
	specFD = iota + 3
	netFD
	ipcFD
	utsFD
	pidFD
	mountFD
	userFD
)

// init takes over a process that was started as a stage. It is an init
// function on purpose: main would come only after the initialisation of every
// package of the binary, which costs tens of megabytes and milliseconds.
func init() {
	if len(os.Args) == 2 && os.Args[0] == Name {
		os.Exit(run(os.Args[1]))
	}
}

func run(kind string) int {
	// Namespaces and capabilities belong to the thread that executes at last.
	runtime.LockOSThread()
	// The process ends with the thread that started it. That is asked for here
	// because a parent in another process namespace looks like none at all.
	unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
	unix.CloseOnExec(specFD)
	conn := os.NewFile(specFD, "spec")
	if conn == nil {
		return 125
	}
	code, err := dispatch(kind, conn)
	if err != nil {
		json.NewEncoder(conn).Encode(Reply{Error: err.Error()})
		return 125
	}
	return code
}

func dispatch(kind string, conn *os.File) (int, error) {
	switch kind {
	case KindSandbox:
		var spec Sandbox
		if err := read(conn, &spec); err != nil {
			return 0, err
		}
		return 0, spec.become(conn)
	case KindContainer:
		var spec Container
		if err := read(conn, &spec); err != nil {
			return 0, err
		}
		return 0, spec.become()
	case KindExec:
		var spec Exec
		if err := read(conn, &spec); err != nil {
			return 0, err
		}
		return spec.run(conn)
	case KindProc:
		var spec Proc
		if err := read(conn, &spec); err != nil {
			return 0, err
		}
		return 0, mountProc(spec.Path)
	}
	return 0, fmt.Errorf("unknown stage %q", kind)
}

// read decodes the spec, which ends where the runtime stops writing.
func read(conn *os.File, spec any) error {
	raw, err := io.ReadAll(io.LimitReader(conn, specSize))
	if err != nil {
		return fmt.Errorf("read the spec: %w", err)
	}
	if err := json.Unmarshal(raw, spec); err != nil {
		return fmt.Errorf("decode the spec: %w", err)
	}
	return nil
}
