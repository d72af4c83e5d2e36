package process

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
)

// pauseCode is the whole program of a pod's first process, which holds the
// pod's namespaces: wait for a signal, for ever. It needs one page of memory,
// where a Go program needs megabytes.
var pauseCode = map[string][]byte{
	"amd64": {
		0xb8, 0x22, 0x00, 0x00, 0x00, // mov eax, 34 (pause)
		0x0f, 0x05, // syscall
		0xeb, 0xf7, // jmp back to the start
	},
	"arm64": {
		0x28, 0x09, 0x80, 0xd2, // mov x8, 73 (ppoll)
		0xe0, 0x03, 0x1f, 0xaa, // mov x0, xzr
		0xe1, 0x03, 0x1f, 0xaa, // mov x1, xzr
		0xe2, 0x03, 0x1f, 0xaa, // mov x2, xzr
		0xe3, 0x03, 0x1f, 0xaa, // mov x3, xzr
		0x01, 0x00, 0x00, 0xd4, // svc 0
		0xfa, 0xff, 0xff, 0x17, // b back to the start
	},
}

var machineCode = map[string]uint16{"amd64": 62, "arm64": 183}

// WritePause writes the program to path and reports whether there is one for
// this machine.
func WritePause(path string) (bool, error) {
	code, ok := pauseCode[runtime.GOARCH]
	if !ok {
		return false, nil
	}
	if err := os.WriteFile(path, executable(machineCode[runtime.GOARCH], code), 0o755); err != nil {
		return false, fmt.Errorf("write the pause program: %w", err)
	}
	return true, nil
}

// executable wraps code as the smallest ELF file: a header, one segment.
func executable(machine uint16, code []byte) []byte {
	const base, headers = 0x400000, 64 + 56
	size := uint64(headers + len(code))
	le := binary.LittleEndian
	f := []byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	f = le.AppendUint16(f, 2) // executable
	f = le.AppendUint16(f, machine)
	f = le.AppendUint32(f, 1)
	f = le.AppendUint64(f, base+headers) // entry
	f = le.AppendUint64(f, 64)           // program headers
	f = le.AppendUint64(f, 0)            // no sections
	f = le.AppendUint32(f, 0)
	for _, n := range []uint16{64, 56, 1, 0, 0, 0} {
		f = le.AppendUint16(f, n)
	}
	f = le.AppendUint32(f, 1) // load
	f = le.AppendUint32(f, 5) // read and execute
	for _, n := range []uint64{0, base, base, size, size, 0x10000} {
		f = le.AppendUint64(f, n)
	}
	return append(f, code...)
}
