package wire

import (
	"encoding/binary"
	"net"
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
)

const (
	// maxQueueBytes is what may wait for one uplink. A node that stands still
	// loses frames, as on any switch; it does not hold up the others.
	maxQueueBytes = 8 << 20
	// maxBatch frames go out in one write; each is two parts of a vector, and
	// the kernel takes 1024 parts.
	maxBatch = 256
)

// queue holds the frames on their way to one uplink.
type queue struct {
	mu     sync.Mutex
	wake   sync.Cond
	frames []*buffer.View
	bytes  int
	closed bool
}

func newQueue() *queue {
	q := &queue{}
	q.wake.L = &q.mu
	return q
}

// push takes the frame over and says whether it is kept.
func (q *queue) push(frame *buffer.View) bool {
	size := frame.Size()
	q.mu.Lock()
	if q.closed || q.bytes+size > maxQueueBytes {
		q.mu.Unlock()
		frame.Release()
		return false
	}
	q.frames = append(q.frames, frame)
	q.bytes += size
	q.mu.Unlock()
	q.wake.Signal()
	return true
}

// take waits for frames and moves up to maxBatch of them into batch. It
// returns nothing once the queue is closed.
func (q *queue) take(batch []*buffer.View) []*buffer.View {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.frames) == 0 && !q.closed {
		q.wake.Wait()
	}
	if q.closed {
		return nil
	}
	n := min(len(q.frames), maxBatch)
	batch = append(batch[:0], q.frames[:n]...)
	rest := copy(q.frames, q.frames[n:])
	clear(q.frames[rest:])
	q.frames = q.frames[:rest]
	for _, frame := range batch {
		q.bytes -= frame.Size()
	}
	return batch
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	for _, frame := range q.frames {
		frame.Release()
	}
	q.frames, q.bytes = nil, 0
	q.mu.Unlock()
	q.wake.Broadcast()
}

// drain writes what the queue holds to conn, several frames at a time, until
// the queue is closed or a write fails.
func (q *queue) drain(conn net.Conn) error {
	var (
		batch   []*buffer.View
		lengths [maxBatch][LengthSize]byte
		parts   = make(net.Buffers, 0, 2*maxBatch)
	)
	for {
		batch = q.take(batch)
		if batch == nil {
			return nil
		}
		vector := parts[:0]
		for i, frame := range batch {
			binary.BigEndian.PutUint32(lengths[i][:], uint32(frame.Size()))
			vector = append(vector, lengths[i][:], frame.AsSlice())
		}
		_, err := vector.WriteTo(conn)
		for _, frame := range batch {
			frame.Release()
		}
		if err != nil {
			return err
		}
	}
}
