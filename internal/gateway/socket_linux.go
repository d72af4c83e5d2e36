package gateway

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// limitUnsent makes the kernel give up a connection whose peer takes nothing of what we send for a long time. Accepted
// connections inherit it, and it costs a request nothing.
func limitUnsent(_, _ string, conn syscall.RawConn) error {
	var failed error
	err := conn.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(sendTimeout.Milliseconds()))
	})
	return errors.Join(err, failed)
}
