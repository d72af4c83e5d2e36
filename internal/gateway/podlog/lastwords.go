package podlog

import (
	"context"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/m3o/platform/internal/diagnosis"
)

// How much of a log its end is: as many lines as a panic takes to say what it is about.
const (
	lastLines = 20
	lastBytes = 4 << 10
)

// LastWords are the end of the log of a pod's program, or of its run before, as text of some twenty lines; "" when it cannot be read. When
// the log of the run before is gone, the program has ended once more meanwhile, and its newest log says the same.
func (s *Streamer) LastWords(ctx context.Context, pod *corev1.Pod, previous bool) string {
	said, gone := s.end(ctx, pod, previous)
	if gone && previous {
		said, _ = s.end(ctx, pod, false)
	}
	return said
}

func (s *Streamer) end(ctx context.Context, pod *corev1.Pod, previous bool) (said string, gone bool) {
	options := &corev1.PodLogOptions{Container: pod.Spec.Containers[0].Name, Previous: previous, TailLines: new(int64(lastLines)), LimitBytes: new(int64(lastBytes))}
	stream, err := s.Client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, options).Stream(ctx)
	if err != nil {
		return "", true
	}
	defer stream.Close()
	text, _ := io.ReadAll(io.LimitReader(stream, lastBytes)) // what came before an error is still worth showing
	if diagnosis.NoLog(string(text)) {
		return "", true
	}
	return strings.TrimSpace(strings.ReplaceAll(strings.ToValidUTF8(string(text), "\uFFFD"), "\x00", "\uFFFD")), false
}
