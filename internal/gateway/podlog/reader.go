package podlog

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/m3o/platform/internal/diagnosis"
)

// request says what to read of one pod. The API takes since in whole seconds; after leaves out what was seen already.
type request struct {
	follow bool
	since  time.Time
	after  time.Time
	tail   int
}

// reader reads the lines of one pod.
type reader struct {
	key   string
	body  io.ReadCloser
	lines *bufio.Reader
	after time.Time
	line  Line
}

// open begins to read the log of the pod's first container, which is the service.
func (s *Streamer) open(ctx context.Context, pod *corev1.Pod, q request) (*reader, error) {
	options := &corev1.PodLogOptions{Container: pod.Spec.Containers[0].Name, Follow: q.follow, Timestamps: true}
	if !q.since.IsZero() {
		options.SinceTime = &metav1.Time{Time: q.since}
	}
	if q.tail >= 0 {
		n := int64(q.tail)
		options.TailLines = &n
	}
	body, err := s.Client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, options).Stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the log of pod %s: %w", pod.Name, err)
	}
	after := q.after
	if after.IsZero() && !q.since.IsZero() {
		after = q.since.Add(-time.Nanosecond)
	}
	return &reader{key: podKey(pod), body: body, lines: bufio.NewReaderSize(body, maxLine), after: after,
		line: Line{Instance: pod.Name, Release: releaseOf(pod)}}, nil
}

func (r *reader) close() { _ = r.body.Close() } // nothing was written that could be lost

// next reads the next line that is not older than wanted, into line.
func (r *reader) next() bool {
	for {
		raw, err := r.lines.ReadSlice('\n')
		cut := errors.Is(err, bufio.ErrBufferFull)
		if len(raw) == 0 && err != nil {
			return false
		}
		if diagnosis.NoLog(string(raw)) { // what a program writes begins with a time
			return false
		}
		r.line.Time, r.line.Line = parse(raw, r.line.Time, cut)
		if cut && !r.skip() {
			return false
		}
		if r.after.IsZero() || r.line.Time.After(r.after) {
			return true
		}
	}
}

// skip drops the rest of a line that is too long.
func (r *reader) skip() bool {
	for {
		_, err := r.lines.ReadSlice('\n')
		if err == nil || errors.Is(err, io.EOF) {
			return true
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return false
		}
	}
}

// drain sends lines until the log ends, and returns the time of the last one.
func (r *reader) drain(ctx context.Context, last time.Time, lines chan<- Line) time.Time {
	for r.next() {
		select {
		case lines <- r.line:
			last = r.line.Time
		case <-ctx.Done():
			return last
		}
	}
	return last
}

// parse splits a line of the API, "<time> <text>". A line without a time has that of the one before.
func parse(raw []byte, before time.Time, cut bool) (time.Time, string) {
	raw = bytes.TrimRight(raw, "\r\n")
	at, text := before, raw
	stamp, rest, _ := bytes.Cut(raw, []byte(" "))
	if t, err := time.Parse(time.RFC3339Nano, string(stamp)); err == nil {
		at, text = t, rest
	}
	line := strings.ToValidUTF8(string(text), "\uFFFD")
	if cut {
		line += "…"
	}
	return at, line
}

// notStarted reports whether the log is not there yet, or no more: the container is being made, or the pod has gone.
func notStarted(err error) bool {
	return apierrors.IsBadRequest(err) || apierrors.IsNotFound(err)
}
