package health

import (
	"context"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/m3o/platform/internal/diagnosis"
	"github.com/m3o/platform/internal/release"
)

// why says why an instance is not well, as far as the witness knows.
func why(ctx context.Context, i *release.Instance, pod *corev1.Pod, w diagnosis.Witness) {
	if i.Well() || i.State == release.InstanceEnding {
		return
	}
	found := diagnosis.Of(ctx, asItCounts(*i, pod), w)
	if i.State == release.InstanceUnready {
		anyMore(&found)
	}
	if i.Said, found.Said = found.Said, ""; i.Said == "" && pod.Status.Phase == corev1.PodFailed {
		i.Said = atItsEnd(pod)
	}
	i.Message = found.Words()
}

// atItsEnd is the end of the log that a cluster keeps with a program that failed. The log itself is removed with an evicted pod's
// containers, within seconds.
func atItsEnd(pod *corev1.Pod) string {
	if status := statusOf(pod); status != nil && status.State.Terminated != nil {
		return strings.TrimSpace(status.State.Terminated.Message)
	}
	return ""
}

// anyMore says of a program that was ready what is diagnosed of one that never was.
func anyMore(f *diagnosis.Finding) {
	if strings.HasPrefix(f.Cause, "nothing answers") {
		f.Cause, f.Help = f.Cause+" any more", "" // it knew where to listen
	}
	f.Cause = strings.Replace(f.Cause, "has not been seen ready yet", "was not ready when its cluster asked it last", 1)
}

// asItCounts is the pod as what is to be said of it: one that ended a moment ago as it was before it came up again, and one that stopped
// answering without how it ended before.
func asItCounts(i release.Instance, pod *corev1.Pod) *corev1.Pod {
	if !i.Unsteady && i.State != release.InstanceUnready {
		return pod
	}
	pod = pod.DeepCopy()
	for at := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[at]; c.Type == corev1.PodReady {
			c.Status = corev1.ConditionFalse
		}
	}
	for at := range pod.Status.ContainerStatuses {
		status := &pod.Status.ContainerStatuses[at]
		if status.Ready = false; i.Unsteady {
			status.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
		} else {
			status.LastTerminationState, status.RestartCount = corev1.ContainerState{}, 0
		}
	}
	return pod
}

// mute knows nothing besides.
type mute struct{}

func (mute) LastWords(context.Context, *corev1.Pod, string, bool) string { return "" }
func (mute) Warning(context.Context, *corev1.Pod, string, string) string { return "" }

// witness asks the cluster and the program itself.
type witness struct {
	reporter *Reporter
	now      time.Time
}

// LastWords are read once for each end of the program, and now and then from one that runs.
func (w *witness) LastWords(ctx context.Context, pod *corev1.Pod, _ string, previous bool) string {
	status, life := statusOf(pod), rememberEnded
	if status == nil {
		return ""
	}
	run := status.ContainerID
	switch last := status.LastTerminationState.Terminated; {
	case previous && last != nil:
		run = last.ContainerID
	case status.State.Running != nil:
		life = rememberRunning
	}
	return w.reporter.heard.get(ctx, string(pod.UID)+" said "+run, w.now, life, func() (string, bool) {
		said := w.reporter.LastWords(ctx, pod, previous)
		return said, said != ""
	})
}

// Warning is what the kubelet's readiness probe meets: it is tried out, and its other warnings are not read.
func (w *witness) Warning(ctx context.Context, pod *corev1.Pod, reason, _ string) string {
	if reason != "Unhealthy" {
		return ""
	}
	return w.reporter.heard.get(ctx, string(pod.UID)+" met", w.now, rememberNothing, func() (string, bool) { return w.reporter.Meets(ctx, pod) })
}
