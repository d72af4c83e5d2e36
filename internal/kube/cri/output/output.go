// Package output carries what a container prints: into its log file, in the
// CRI's format, and to whoever is attached. The container never waits for
// either: a disk that refuses a line loses that line, an attached reader that
// is too slow is let go. It knows nothing of containers. Only package cri may
// import it.
package output

import (
	"bytes"
	"io"
	"sync"
)

const (
	// maxLine is the longest piece of a line in one entry of the log.
	maxLine = 16 << 10
	// backlog is how many reads an attached reader may be behind.
	backlog = 256
)

// Output is the output of one container.
type Output struct {
	log *Log

	mu      sync.Mutex
	readers map[*Reader]bool
	closed  bool
	drains  sync.WaitGroup
}

// New makes an output that goes to log.
func New(log *Log) *Output {
	return &Output{log: log, readers: map[*Reader]bool{}}
}

// Log is the log file behind the output.
func (o *Output) Log() *Log { return o.log }

// Drain reads r to its end in a goroutine, as the named stream.
func (o *Output) Drain(stream string, r io.Reader) {
	o.drains.Add(1)
	go func() {
		defer o.drains.Done()
		lines := splitter{emit: func(line []byte, full bool) { o.log.Write(stream, line, full) }}
		buffer := make([]byte, maxLine)
		for {
			n, err := r.Read(buffer)
			if n > 0 {
				o.broadcast(stream, buffer[:n])
				lines.add(buffer[:n])
			}
			if err != nil {
				lines.end()
				return
			}
		}
	}()
}

// Wait waits for the end of all streams, then lets all readers go and closes
// the log.
func (o *Output) Wait() {
	o.drains.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for r := range o.readers {
		close(r.pieces)
	}
	o.readers = map[*Reader]bool{}
	o.log.Close()
}

func (o *Output) broadcast(stream string, data []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.readers) == 0 {
		return
	}
	piece := Piece{Stream: stream, Data: append([]byte(nil), data...)}
	for r := range o.readers {
		select {
		case r.pieces <- piece:
		default:
			delete(o.readers, r)
			close(r.pieces)
		}
	}
}

// Piece is something that the container printed.
type Piece struct {
	Stream string
	Data   []byte
}

// Reader gets what the container prints from now on.
type Reader struct {
	output *Output
	pieces chan Piece
}

// Attach makes a reader. It must be closed.
func (o *Output) Attach() *Reader {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := &Reader{output: o, pieces: make(chan Piece, backlog)}
	if o.closed {
		close(r.pieces)
		return r
	}
	o.readers[r] = true
	return r
}

// Pieces is closed when the output ends or the reader is too slow.
func (r *Reader) Pieces() <-chan Piece { return r.pieces }

// Close lets the reader go.
func (r *Reader) Close() {
	r.output.mu.Lock()
	defer r.output.mu.Unlock()
	if r.output.readers[r] {
		delete(r.output.readers, r)
		close(r.pieces)
	}
}

// splitter cuts a stream into lines, and long lines into pieces.
type splitter struct {
	emit    func(line []byte, full bool)
	pending []byte
}

func (s *splitter) add(data []byte) {
	for len(data) > 0 {
		if len(s.pending) == maxLine && data[0] != '\n' {
			s.flush(false)
		}
		piece := data[:min(maxLine-len(s.pending)+1, len(data))]
		end := bytes.IndexByte(piece, '\n')
		if end >= 0 {
			s.pending = append(s.pending, piece[:end]...)
			s.flush(true)
			data = data[end+1:]
			continue
		}
		piece = piece[:min(maxLine-len(s.pending), len(piece))]
		s.pending = append(s.pending, piece...)
		data = data[len(piece):]
	}
}

func (s *splitter) flush(full bool) {
	s.emit(s.pending, full)
	s.pending = s.pending[:0]
}

// end emits what has no newline.
func (s *splitter) end() {
	if len(s.pending) > 0 {
		s.flush(true)
	}
}
