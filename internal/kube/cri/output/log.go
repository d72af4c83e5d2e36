package output

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Log is a container's log file in the CRI's format: a line is its time, its
// stream, F or P (a piece of a line that goes on), and its text.
type Log struct {
	path string

	mu     sync.Mutex
	file   *os.File
	buffer bytes.Buffer
	lost   int64
}

// OpenLog opens the file, making it and its folder. An empty path makes a log
// that keeps nothing.
func OpenLog(path string) (*Log, error) {
	l := &Log{path: path}
	if path == "" {
		return l, nil
	}
	return l, l.open()
}

func (l *Log) open() error {
	if err := os.MkdirAll(filepath.Dir(l.path), 0o755); err != nil {
		return fmt.Errorf("make the log's folder: %w", err)
	}
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	l.file = file
	return nil
}

// Write adds an entry. What the disk refuses is counted and lost.
func (l *Log) Write(stream string, line []byte, full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return
	}
	l.buffer.Reset()
	l.buffer.Write(time.Now().UTC().AppendFormat(l.buffer.AvailableBuffer(), time.RFC3339Nano))
	l.buffer.WriteByte(' ')
	l.buffer.WriteString(stream)
	if full {
		l.buffer.WriteString(" F ")
	} else {
		l.buffer.WriteString(" P ")
	}
	l.buffer.Write(line)
	l.buffer.WriteByte('\n')
	if _, err := l.file.Write(l.buffer.Bytes()); err != nil {
		l.lost++
	}
}

// Lost is how many entries the disk refused.
func (l *Log) Lost() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// Reopen goes on in a new file of the same name, after the old one has been
// renamed.
func (l *Log) Reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.path == "" {
		return nil
	}
	old := l.file
	if err := l.open(); err != nil {
		return err
	}
	if old != nil {
		old.Close()
	}
	return nil
}

// Close closes the file.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}
