// Package podlog reads the logs of a service: the lines of all its pods, through the Kubernetes API, as one stream.
//
// Lines that are there already come in the order of their times. When the reader follows, lines come as they are written,
// pods that appear later join in, and a connection that ends is made again from the last line that was seen. The package
// keeps nothing and knows no tickets. Only the gateway imports it.
package podlog

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/m3o/platform/internal/release"
)

// Limits of a stream.
const (
	defaultTail = 1000 // lines of each pod, when neither tail nor since is given
	maxPods     = 200
	maxLine     = 64 << 10 // longer lines are cut
	queued      = 256
)

// How often a follower looks for new pods, and waits before it connects again.
const (
	lookEvery  = 500 * time.Millisecond
	retryAfter = time.Second
)

// Line is one line of one pod.
type Line struct {
	Time     time.Time `json:"time"`
	Instance string    `json:"instance"`
	Release  int       `json:"release,omitempty"`
	Line     string    `json:"line"`
}

// Query says which lines. Tail is the number of lines of each pod, -1 for no limit.
type Query struct {
	Service  release.Key
	Follow   bool
	Since    time.Time
	Tail     int
	Release  int    // 0: of every release
	Instance string // empty: of every pod
}

// Streamer reads logs. Pods lists the pods of a service there are now.
type Streamer struct {
	Client kubernetes.Interface
	Pods   func(release.Key) []*corev1.Pod
	Logger *slog.Logger
}

// Stream calls emit with every line, one at a time, until there are no more or the context ends; more says that another
// one is ready. It ends with emit's error, or because no log could be read at all.
func (s *Streamer) Stream(ctx context.Context, q Query, emit func(line Line, more bool) error) error {
	if q.Tail < 0 && q.Since.IsZero() {
		q.Tail = defaultTail
	}
	if q.Tail == 0 {
		q.Since = time.Now() // nothing of what is there, whatever since when was asked for
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	seen, err := s.backlog(ctx, q, emit)
	if err != nil || !q.Follow {
		return err
	}
	return s.follow(ctx, q, seen, emit)
}

// pods are those the query is about.
func (s *Streamer) pods(q Query) []*corev1.Pod {
	var wanted []*corev1.Pod
	for _, pod := range s.Pods(q.Service) {
		if (q.Release == 0 || releaseOf(pod) == q.Release) && (q.Instance == "" || pod.Name == q.Instance) && len(pod.Spec.Containers) > 0 {
			wanted = append(wanted, pod)
		}
	}
	slices.SortFunc(wanted, func(a, b *corev1.Pod) int { return b.CreationTimestamp.Compare(a.CreationTimestamp.Time) })
	return wanted[:min(len(wanted), maxPods)] // the newest, when there are too many
}

func releaseOf(pod *corev1.Pod) int {
	n, err := strconv.Atoi(pod.Labels[release.LabelRelease])
	if err != nil {
		return 0
	}
	return n
}

// backlog emits what has been written so far, merged by time, and returns how far each pod was read: the time of the last
// line, zero if it had none. Pods that could not be read are not in it.
func (s *Streamer) backlog(ctx context.Context, q Query, emit func(Line, bool) error) (map[string]time.Time, error) {
	seen := map[string]time.Time{}
	var readers merge
	defer func() {
		for _, r := range readers {
			r.close()
		}
	}()
	var failures []error
	pods := s.pods(q)
	for _, pod := range pods {
		r, err := s.open(ctx, pod, request{since: q.Since, tail: q.Tail})
		switch {
		case err != nil && notStarted(err):
		case err != nil:
			failures = append(failures, err)
		case r.next():
			readers = append(readers, r)
		default:
			seen[r.key] = time.Time{}
			r.close()
		}
	}
	if len(failures) > 0 && len(failures) == len(pods) {
		return nil, errors.Join(failures...)
	}
	heap.Init(&readers)
	for len(readers) > 0 {
		r := readers[0]
		seen[r.key] = r.line.Time
		line := r.line
		if r.next() {
			heap.Fix(&readers, 0)
		} else {
			heap.Pop(&readers).(*reader).close()
		}
		if err := emit(line, len(readers) > 0); err != nil {
			return nil, err
		}
	}
	return seen, nil
}

// merge is a heap of readers by the time of their line.
type merge []*reader

func (m merge) Len() int           { return len(m) }
func (m merge) Less(a, b int) bool { return m[a].line.Time.Before(m[b].line.Time) }
func (m merge) Swap(a, b int)      { m[a], m[b] = m[b], m[a] }
func (m *merge) Push(r any)        { *m = append(*m, r.(*reader)) }
func (m *merge) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}

// follow emits lines as they come, of the pods there are and of those to come.
func (s *Streamer) follow(ctx context.Context, q Query, seen map[string]time.Time, emit func(Line, bool) error) error {
	lines := make(chan Line, queued)
	reading, ended := map[string]bool{}, make(chan string, maxPods)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for first := true; ctx.Err() == nil; first = false {
		pods := s.pods(q)
		for _, pod := range pods {
			key := podKey(pod)
			if _, known := reading[key]; known {
				continue
			}
			reading[key] = true
			from := beginning(q, seen, key, first)
			go func() {
				s.tailPod(ctx, pod, from, lines)
				select {
				case ended <- key:
				case <-ctx.Done():
				}
			}()
		}
		forget(reading, pods)
		if err := s.pass(ctx, lines, ended, reading, look.C, emit); err != nil {
			return err
		}
	}
	return nil
}

// beginning says from where to follow a pod. One that was there at first and could not be read is owed its backlog, and no
// more than that. One that came later is read from its first line.
func beginning(q Query, seen map[string]time.Time, key string, first bool) request {
	since, read := seen[key]
	from := request{follow: true, since: since, after: since, tail: -1}
	if first && since.IsZero() {
		from.since, from.after = q.Since, q.Since
	}
	if first && !read && q.Tail > 0 {
		from.tail = q.Tail
	}
	return from
}

// forget drops the pods that are gone and read to the end. One that has ended but is still there is not read again.
func forget(reading map[string]bool, pods []*corev1.Pod) {
	maps.DeleteFunc(reading, func(key string, still bool) bool {
		return !still && !slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return podKey(p) == key })
	})
}

// pass emits lines until it is time to look for new pods.
func (s *Streamer) pass(ctx context.Context, lines <-chan Line, ended <-chan string, reading map[string]bool, look <-chan time.Time,
	emit func(Line, bool) error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case key := <-ended:
			reading[key] = false
		case line := <-lines:
			if err := emit(line, len(lines) > 0); err != nil {
				return fmt.Errorf("write a log line: %w", err)
			}
		case <-look:
			return nil
		}
	}
}

// tailPod reads the log of one pod until the pod is gone, and connects again as often as it takes.
func (s *Streamer) tailPod(ctx context.Context, pod *corev1.Pod, from request, lines chan<- Line) {
	for ctx.Err() == nil {
		r, err := s.open(ctx, pod, from)
		if err == nil {
			if last := r.drain(ctx, from.since, lines); last != from.since {
				from.since, from.after, from.tail = last, last, -1
			}
			r.close()
		} else if !notStarted(err) {
			s.Logger.DebugContext(ctx, "log of a pod cannot be read", "pod", podKey(pod), "error", err.Error())
		}
		if !s.alive(pod) {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
}

// alive reports whether the pod may still write: it is there, the same one, and its containers have not ended for good.
func (s *Streamer) alive(pod *corev1.Pod) bool {
	key := release.Key{Project: pod.Labels[release.LabelProject], Name: pod.Labels[release.LabelService]}
	return slices.ContainsFunc(s.Pods(key), func(p *corev1.Pod) bool {
		return podKey(p) == podKey(pod) && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed
	})
}

func podKey(pod *corev1.Pod) string { return pod.Name + "/" + string(pod.UID) }
