package health

import (
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/m3o/platform/internal/release"
)

// How long a program that ended must be ready again before it is steady. One that ended for the first time, or after a long life, is
// soon; one that keeps ending must prove itself, or it would be well and not well by turns. A long life is what the kubelet takes
// for one, too, when it forgets how often it has waited.
const (
	steadyOnce = 15 * time.Second
	steadyLoop = time.Minute
	longLife   = 10 * time.Minute
)

// evictedFor is how long a pod that was ended for good counts, as one that filled its volume: another one takes its place.
const evictedFor = 20 * time.Second

// stateOf says where an instance is, from what Kubernetes reports of its pod. False: the pod is no instance any more.
func stateOf(pod *corev1.Pod, now time.Time) (release.Instance, bool) {
	i := release.Instance{Name: pod.Name, Since: pod.CreationTimestamp.Time, State: release.InstanceStarting}
	i.Release, _ = strconv.Atoi(pod.Labels[release.LabelRelease]) // without the label: of no release
	status := statusOf(pod)
	if status != nil {
		i.Restarts = int(status.RestartCount)
	}
	ready, since := condition(pod, corev1.PodReady)
	there := true
	switch {
	case pod.DeletionTimestamp != nil:
		i.State, i.Since = release.InstanceEnding, pod.DeletionTimestamp.Time
	case pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded:
		i.State, i.Since = release.InstanceRestarting, latest(since, endOf(status))
		there = now.Sub(i.Since) < evictedFor
	case ready == corev1.ConditionTrue:
		i.State, i.Since = release.InstanceReady, latest(since, endOf(status))
		i.Unsteady = status != nil && now.Sub(i.Since) < steadyAfter(status)
	case status != nil && status.State.Running != nil && since.After(status.State.Running.StartedAt.Time):
		i.State, i.Since = release.InstanceUnready, since
	case !endOf(status).IsZero():
		i.State, i.Since = release.InstanceRestarting, endOf(status)
	}
	i.Since = i.Since.UTC()
	return i, there
}

// statusOf is that of the service's own container, the first.
func statusOf(pod *corev1.Pod) *corev1.ContainerStatus {
	if len(pod.Spec.Containers) == 0 {
		return nil
	}
	at := slices.IndexFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return s.Name == pod.Spec.Containers[0].Name })
	if at < 0 {
		return nil
	}
	return &pod.Status.ContainerStatuses[at]
}

// endOf is when the program ended last, zero if it never did.
func endOf(status *corev1.ContainerStatus) (end time.Time) {
	if status == nil {
		return end
	}
	for _, t := range []*corev1.ContainerStateTerminated{status.LastTerminationState.Terminated, status.State.Terminated} {
		if t != nil {
			end = latest(end, t.FinishedAt.Time)
		}
	}
	return end
}

// steadyAfter is how long the program must be ready before it is steady; 0 if it never ended.
func steadyAfter(status *corev1.ContainerStatus) time.Duration {
	last := status.LastTerminationState.Terminated
	switch {
	case last == nil:
		return 0
	case status.RestartCount > 1 && last.FinishedAt.Sub(last.StartedAt.Time) < longLife:
		return steadyLoop
	}
	return steadyOnce
}

func condition(pod *corev1.Pod, kind corev1.PodConditionType) (corev1.ConditionStatus, time.Time) {
	for _, c := range pod.Status.Conditions {
		if c.Type == kind {
			return c.Status, c.LastTransitionTime.Time
		}
	}
	return corev1.ConditionUnknown, pod.CreationTimestamp.Time
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
