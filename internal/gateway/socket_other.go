//go:build !linux

package gateway

import "syscall"

// limitUnsent does nothing here: gateways run on Linux, elsewhere only tests do.
func limitUnsent(_, _ string, _ syscall.RawConn) error { return nil }
