package cluster

import (
	"context"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/m3o/platform/internal/diagnosis"
)

// How much of a program's last words is shown.
const (
	lastLines = 20
	lastBytes = 4 << 10
)

// worst returns why the pods that the selector finds are not ready: what is certain if anything is, else the first. Pods that are ready,
// or that are going, have no trouble.
func (c *Client) worst(ctx context.Context, namespace string, selector map[string]string) (diagnosis.Finding, error) {
	pods, err := c.typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(selector).String(), Limit: pageSize})
	if err != nil {
		return diagnosis.Finding{}, explain(err, "list the pods in %s", namespace)
	}
	return diagnosis.Worst(ctx, pods.Items, witness{c}), nil
}

// witness asks the API server what a pod's status does not say. It is a courtesy: without an answer the rest still stands.
type witness struct{ client *Client }

// LastWords are the last log lines of the container, or of its previous run. When the kubelet has that log no more, the program has
// ended once more meanwhile, and its newest log says the same.
func (w witness) LastWords(ctx context.Context, pod *corev1.Pod, container string, previous bool) string {
	said, gone := w.log(ctx, pod, container, previous)
	if gone && previous {
		said, _ = w.log(ctx, pod, container, false)
	}
	return said
}

func (w witness) log(ctx context.Context, pod *corev1.Pod, container string, previous bool) (said string, gone bool) {
	options := &corev1.PodLogOptions{Container: container, Previous: previous, TailLines: new(int64(lastLines)), LimitBytes: new(int64(lastBytes))}
	stream, err := w.client.typed.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, options).Stream(ctx)
	if err != nil {
		return "", true
	}
	defer stream.Close()
	text, _ := io.ReadAll(io.LimitReader(stream, lastBytes)) // what came before an error is still worth showing
	if diagnosis.NoLog(string(text)) {
		return "", true
	}
	return strings.TrimSpace(strings.ToValidUTF8(string(text), "�")), false
}

// Warning is the newest warning about the pod with that reason ("": any) whose text holds the words, or "".
func (w witness) Warning(ctx context.Context, pod *corev1.Pod, reason, words string) string {
	return w.client.warning(ctx, pod.Namespace, string(pod.UID), reason, words)
}

func (c *Client) warning(ctx context.Context, namespace, uid, reason, words string) string {
	// What kept a pod from its node is in its conditions for as long as it is true.
	chosen := []fields.Selector{fields.OneTermEqualSelector("involvedObject.uid", uid), fields.OneTermEqualSelector("type", corev1.EventTypeWarning),
		fields.OneTermNotEqualSelector("reason", "FailedScheduling")}
	if reason != "" {
		chosen = append(chosen, fields.OneTermEqualSelector("reason", reason))
	}
	events, err := c.typed.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{FieldSelector: fields.AndSelectors(chosen...).String(), Limit: pageSize})
	if err != nil {
		return ""
	}
	message, latest := "", time.Time{}
	for _, e := range events.Items {
		if at := when(e); strings.Contains(e.Message, words) && !at.Before(latest) {
			message, latest = e.Message, at
		}
	}
	return message
}

// when is the last time an event was seen; old and new reporters write it into different fields.
func when(e corev1.Event) time.Time {
	latest := e.LastTimestamp.Time
	for _, t := range []time.Time{e.EventTime.Time, e.CreationTimestamp.Time} {
		if t.After(latest) {
			latest = t
		}
	}
	return latest
}
