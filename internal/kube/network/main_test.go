package network_test

import (
	"fmt"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// The test binary plays three parts. Without a role it is the cluster process
// and runs the tests; as a node it lives in namespaces of its own and holds
// a bridge; as a pod it is a network namespace with a few servers in it. Nodes
// and pods are told what to do over a unix socket.
const (
	roleVariable   = "NETWORK_TEST_ROLE"
	socketVariable = "NETWORK_TEST_SOCKET"
	uplinkVariable = "NETWORK_TEST_UPLINK"
	indexVariable  = "NETWORK_TEST_INDEX"
)

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(roleVariable) {
	case "node":
		err = runNode()
	case "pod":
		err = runPod()
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child starts the test binary in a role; it is killed when this process ends.
func child(role, socket string, flags uintptr, env ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), append(env, roleVariable+"="+role, socketVariable+"="+socket)...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	if flags&syscall.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return cmd, cmd.Start()
}

// serve answers calls to the receiver on the child's socket, for ever.
func serve(receiver any) error {
	server := rpc.NewServer()
	if err := server.RegisterName("Lab", receiver); err != nil {
		return err
	}
	listener, err := net.Listen("unix", os.Getenv(socketVariable))
	if err != nil {
		return err
	}
	server.Accept(listener)
	return nil
}

// reach connects to a child that has just been started.
func reach(socket string) (*rpc.Client, error) {
	deadline := time.Now().Add(20 * time.Second)
	for {
		client, err := rpc.Dial("unix", socket)
		if err == nil || time.Now().After(deadline) {
			return client, err
		}
		time.Sleep(5 * time.Millisecond)
	}
}
