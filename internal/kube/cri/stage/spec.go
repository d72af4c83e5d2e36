package stage

// Name is the first argument of a process that is a stage; the second is its
// kind.
const Name = "m3o-pod"

// The kinds of stage.
const (
	KindSandbox   = "sandbox"
	KindContainer = "container"
	KindExec      = "exec"
	KindProc      = "proc"
)

// Sandbox is the spec of a pod's first process. It is started in the pod's new
// namespaces but in the node's mount namespace, so that what it mounts below
// Dir is seen by the node and by every container made later.
type Sandbox struct {
	// Hostname is set unless it is empty.
	Hostname string
	// Dir has the folders sys, mqueue and proc to mount upon.
	Dir string
	// MountProc asks for a proc of the pod's own process namespace.
	MountProc bool
	// OwnNetwork says that the network namespace is the pod's own.
	OwnNetwork bool
	// OwnIPC says that the IPC namespace is the pod's own.
	OwnIPC bool
	// Sysctls are written as they are; a refusal fails the pod.
	Sysctls map[string]string
	// Pause is the program to become. Empty keeps this one.
	Pause string
}

// Container is the spec of a container's first process.
type Container struct {
	// Rootfs is the mounted file system to become the root.
	Rootfs string
	// Proc is a mounted proc to use; empty mounts one of the process namespace.
	Proc string
	// Sys, Shm, Mqueue and Pts are mounted file systems to bind.
	Sys, Shm, Mqueue, Pts string
	// Mounts are bound in this order.
	Mounts []Mount
	// MaskedPaths are hidden, ReadOnlyPaths made read-only, if they exist.
	MaskedPaths, ReadOnlyPaths []string
	// ReadOnlyRoot makes the root file system read-only.
	ReadOnlyRoot bool
	// TTY says that the standard streams are a terminal of Pts.
	TTY bool
	// OOMScoreAdj is set as far as the kernel allows.
	OOMScoreAdj int
	// Command is what to execute in the end.
	Command Command
}

// Mount is one file or folder to bind into a container.
type Mount struct {
	// Source is a path of the node, Target one of the container.
	Source, Target string
	// ReadOnly makes the mount read-only, Recursive all mounts below it too.
	ReadOnly, Recursive bool
	// NoExec, NoDev and NoSuid set the flags of these names.
	NoExec, NoDev, NoSuid bool
	// Follow lets mounts that the node makes later appear in the container.
	Follow bool
}

// Command is a program with all that surrounds it.
type Command struct {
	Args, Env []string
	// Dir is made if it does not exist when a container starts.
	Dir string
	// Capabilities is the bounding set, a bit for each.
	Capabilities uint64
	// Ambient are those that survive the execution by a plain user.
	Ambient uint64
	// NoNewPrivileges is the process flag of this name.
	NoNewPrivileges bool
}

// Exec is the spec of a command in a running container. The container's
// namespaces are the file descriptors from 4 on: network, IPC, UTS, process,
// mount, and user if it has one of its own.
type Exec struct {
	Command Command
	// OwnUser says that the last of them is there.
	OwnUser bool
	// TTY makes standard input the controlling terminal.
	TTY bool
}

// Proc is the spec of a mount of a proc file system at Path, seen from the
// process namespace that the stage was started in.
type Proc struct {
	Path string
}

// Reply is what a stage answers.
type Reply struct {
	// Error is empty if all went well.
	Error string `json:",omitempty"`
	// PID is the process of the executed command, seen from the runtime.
	PID int `json:",omitempty"`
}
