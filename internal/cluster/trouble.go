package cluster

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/m3o/platform/internal/cluster/words"
)

// How much of a program's last words is shown, and how often it must have been started again to be given up: the second
// time comes after some ten seconds, in which whatever it waited for could have come up.
const (
	lastLines  = 20
	lastBytes  = 4 << 10
	enoughEnds = 2
)

// trouble is why pods are not ready, in words, and whether waiting longer can help.
type trouble struct {
	words   string
	certain bool
}

// worst returns the trouble of the pods that the selector finds: a certain one if there is any, else the first. Pods that
// are ready, or that are going, have none.
func (c *Client) worst(ctx context.Context, namespace string, selector map[string]string) (trouble, error) {
	pods, err := c.typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(selector).String(), Limit: pageSize})
	if err != nil {
		return trouble{}, explain(err, "list the pods in %s", namespace)
	}
	var first trouble
	for i := range pods.Items {
		pod := &pods.Items[i]
		if pod.DeletionTimestamp != nil || isReady(pod) {
			continue
		}
		found, err := c.troubleOf(ctx, pod)
		if err != nil {
			return trouble{}, err
		}
		if found.certain {
			return found, nil
		}
		if first.words == "" {
			first = found
		}
	}
	return first, nil
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

func (c *Client) troubleOf(ctx context.Context, pod *corev1.Pod) (trouble, error) {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			return trouble{words: "no node takes it: " + condition.Message}, nil
		}
	}
	if pod.Status.Phase == corev1.PodFailed {
		return trouble{words: "its pod was ended: " + pod.Status.Reason + " " + pod.Status.Message}, nil
	}
	for i := range pod.Status.ContainerStatuses {
		status := &pod.Status.ContainerStatuses[i]
		if w := status.State.Waiting; w != nil {
			return c.waits(ctx, pod, status, w)
		}
		if t := status.State.Terminated; t != nil {
			return c.ended(ctx, pod, status, t, false)
		}
		if !status.Ready {
			return c.unready(ctx, pod, status)
		}
	}
	return trouble{words: "its pod is being set up" + c.lastWarning(ctx, pod)}, nil
}

// waits explains a container that is not running.
func (c *Client) waits(ctx context.Context, pod *corev1.Pod, status *corev1.ContainerStatus, w *corev1.ContainerStateWaiting) (trouble, error) {
	switch w.Reason {
	case "InvalidImageName":
		return trouble{words: fmt.Sprintf("%q is not the name of an image", status.Image), certain: true}, nil
	case "ErrImagePull", "ImagePullBackOff", "ImageInspectError", "ErrImageNeverPull", "RegistryUnavailable", "SignatureValidationFailed":
		said := c.pullWords(ctx, pod, w.Message)
		return trouble{words: fmt.Sprintf("the image %s cannot be pulled: %s", imageOf(pod, status.Name), said), certain: hopeless(said)}, nil
	case "CrashLoopBackOff":
		if last := status.LastTerminationState.Terminated; last != nil {
			return c.ended(ctx, pod, status, last, true)
		}
	case "ContainerCreating", "PodInitializing", "":
		return trouble{words: "its pod is being set up" + c.lastWarning(ctx, pod)}, nil
	}
	return trouble{words: short("the container cannot be started: " + w.Reason + ": " + w.Message), certain: status.RestartCount >= enoughEnds}, nil
}

// pullWords are the registry's own: while the kubelet waits to try again, they are in an event alone.
func (c *Client) pullWords(ctx context.Context, pod *corev1.Pod, message string) string {
	if strings.HasPrefix(message, "Back-off") && !strings.Contains(message, ": ") {
		if said := c.said(ctx, pod, "Failed", "ailed to pull"); said != "" {
			message = said
		}
	}
	if strings.Contains(message, "server gave HTTP response to HTTPS client") {
		message += " (the registry speaks plain HTTP, which this node must be allowed for it)"
	}
	return short(message)
}

// hopeless reports whether a registry's answer will be the same the next time.
func hopeless(words string) bool {
	words = strings.ToLower(words)
	return slices.ContainsFunc([]string{"not found", "manifest unknown", "name unknown", "manifest_unknown", "name_unknown", "unauthorized", "access denied",
		"denied:", "does not exist", "no matching manifest", "no match for platform", "403 forbidden"}, func(s string) bool { return strings.Contains(words, s) })
}

// ended explains a program that ended: how, how often, and what it said last.
func (c *Client) ended(ctx context.Context, pod *corev1.Pod, status *corev1.ContainerStatus, t *corev1.ContainerStateTerminated, previous bool) (trouble, error) {
	text := words.Ended(pod, status, t)
	if said := c.lastWords(ctx, pod, status.Name, previous); said != "" {
		text += "; its last words:\n" + said
	}
	return trouble{words: short(text), certain: status.RestartCount >= enoughEnds}, nil
}

// unready explains a container that runs and is not ready, by what its probe met.
func (c *Client) unready(ctx context.Context, pod *corev1.Pod, status *corev1.ContainerStatus) (trouble, error) {
	if last := status.LastTerminationState.Terminated; last != nil && status.RestartCount >= enoughEnds {
		return c.ended(ctx, pod, status, last, true)
	}
	said := strings.TrimPrefix(c.said(ctx, pod, "Unhealthy", "Readiness probe"), "Readiness probe failed: ")
	return trouble{words: words.Unready(pod, status.Name, said)}, nil
}

// lastWords are the last log lines of the container, or of its previous run. They are a courtesy: without them the rest
// still stands.
func (c *Client) lastWords(ctx context.Context, pod *corev1.Pod, container string, previous bool) string {
	options := &corev1.PodLogOptions{Container: container, Previous: previous, TailLines: new(int64(lastLines)), LimitBytes: new(int64(lastBytes))}
	stream, err := c.typed.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, options).Stream(ctx)
	if err != nil {
		return ""
	}
	defer stream.Close()
	text, _ := io.ReadAll(io.LimitReader(stream, lastBytes)) // what came before an error is still worth showing
	return strings.TrimSpace(strings.ToValidUTF8(string(text), "�"))
}

// lastWarning is the newest warning about the pod, if there is one.
func (c *Client) lastWarning(ctx context.Context, pod *corev1.Pod) string {
	if said := c.said(ctx, pod, "", ""); said != "" {
		return ": " + short(said)
	}
	return ""
}

// said is the newest warning about the pod with that reason ("": any) whose text holds the words, or "".
func (c *Client) said(ctx context.Context, pod *corev1.Pod, reason, words string) string {
	return c.warning(ctx, pod.Namespace, string(pod.UID), reason, words)
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

func imageOf(pod *corev1.Pod, container string) string {
	for _, c := range pod.Spec.Containers {
		if c.Name == container {
			return c.Image
		}
	}
	return ""
}

// short keeps a reason readable.
func short(text string) string { return words.Short(text) }
