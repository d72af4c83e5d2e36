package podlog

import (
	"context"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// How much of a log its end is: as many lines as a panic takes to say what it is about.
const (
	lastLines = 20
	lastBytes = 4 << 10
)

// LastWords are the end of the log of a pod's program, or of its run before, as text of some twenty lines; "" when it cannot be read.
func (s *Streamer) LastWords(ctx context.Context, pod *corev1.Pod, previous bool) string {
	options := &corev1.PodLogOptions{Container: pod.Spec.Containers[0].Name, Previous: previous, TailLines: new(int64(lastLines)), LimitBytes: new(int64(lastBytes))}
	stream, err := s.Client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, options).Stream(ctx)
	if err != nil {
		return ""
	}
	defer stream.Close()
	text, _ := io.ReadAll(io.LimitReader(stream, lastBytes)) // what came before an error is still worth showing
	return strings.TrimSpace(strings.ReplaceAll(strings.ToValidUTF8(string(text), "\uFFFD"), "\x00", "\uFFFD"))
}
