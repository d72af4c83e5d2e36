package diagnosis

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// EnoughEnds is how often a program must have been started again to be given up: the second time comes after some ten seconds, in
// which whatever it waited for could have come up.
const EnoughEnds = 2

// longest bounds a finding's words, in bytes.
const longest = 1200

// Finding is why a pod is not ready. It is zero for one that is.
type Finding struct {
	Cause   string
	Help    string // what the developer of its program can do
	Room    string // what whoever has the region can do, where its nodes are too small
	Said    string // the program's last words
	Certain bool   // waiting longer cannot help
}

// Words are all of the finding, for the developer of the program.
func (f Finding) Words() string { return f.words(f.Help, f.Room) }

// OperatorWords are the finding for somebody whose program it is not: without what its developer can do.
func (f Finding) OperatorWords() string { return f.words(f.Room) }

func (f Finding) words(steps ...string) string {
	words := f.Cause
	if steps = slices.DeleteFunc(steps, func(s string) bool { return s == "" }); len(steps) > 0 {
		words += ": " + strings.Join(steps, ", or ")
	}
	if f.Said != "" {
		words += "; its last words:\n" + f.Said
	}
	return Short(words)
}

// Witness tells what a pod's status does not hold. What it does not know is "".
type Witness interface {
	// LastWords are the last lines that the container's program wrote, in its run before this one if previous.
	LastWords(ctx context.Context, pod *corev1.Pod, container string, previous bool) string
	// Warning is the newest warning about the pod that has the reason ("": any) and holds the words, but for those about finding a node.
	Warning(ctx context.Context, pod *corev1.Pod, reason, words string) string
}

// Of says why the pod is not ready. A pod that is going has no trouble.
func Of(ctx context.Context, pod *corev1.Pod, w Witness) Finding {
	if pod.DeletionTimestamp != nil || Ready(pod) {
		return Finding{}
	}
	return patient{ctx: ctx, pod: pod, witness: w}.examine()
}

// Worst is the worst of the findings about several pods: a certain one if there is any, else the first. Pods that were ended again and
// again for what they themselves take are certain, too.
func Worst(ctx context.Context, pods []corev1.Pod, w Witness) Finding {
	var first Finding
	ended := 0
	for i := range pods {
		found := Of(ctx, &pods[i], w)
		if evictedForItself(&pods[i]) {
			ended++
			found.Certain = ended > EnoughEnds
		}
		if found.Certain {
			return found
		}
		if first.Cause == "" {
			first = found
		}
	}
	return first
}

// Ready reports whether the pod takes requests.
func Ready(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// patient is one pod while it is looked at.
type patient struct {
	ctx     context.Context
	pod     *corev1.Pod
	witness Witness
}

func (p patient) examine() Finding {
	for _, c := range p.pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return unplaced(p.pod, c.Message)
		}
	}
	if p.pod.Status.Phase == corev1.PodFailed {
		return evicted(p.pod)
	}
	for i := range p.pod.Status.ContainerStatuses {
		status := &p.pod.Status.ContainerStatuses[i]
		if w := status.State.Waiting; w != nil {
			return p.waits(status, w)
		}
		if t := status.State.Terminated; t != nil {
			return p.ended(status, t, false)
		}
		if !status.Ready {
			return p.unready(status)
		}
	}
	return Finding{Cause: p.settingUp()}
}

// settingUp is said of a pod whose program was not started yet.
func (p patient) settingUp() string {
	words := "its instance is being set up"
	if said := p.witness.Warning(p.ctx, p.pod, "", ""); said != "" {
		words += ": " + said
	}
	return words
}

// waits explains a container that is not running.
func (p patient) waits(status *corev1.ContainerStatus, w *corev1.ContainerStateWaiting) Finding {
	switch w.Reason {
	case "InvalidImageName":
		return Finding{Cause: quoted(status.Image) + " is not the name of an image", Certain: true}
	case "ErrImagePull", "ImagePullBackOff", "ImageInspectError", "ErrImageNeverPull", "RegistryUnavailable", "SignatureValidationFailed":
		return p.pulls(status, w.Message)
	case "CrashLoopBackOff":
		if last := status.LastTerminationState.Terminated; last != nil {
			return p.ended(status, last, true)
		}
	case "ContainerCreating", "PodInitializing", "":
		return Finding{Cause: p.settingUp()}
	}
	return Finding{Cause: "the program cannot be started: " + w.Message + " (" + w.Reason + ")", Certain: status.RestartCount >= EnoughEnds}
}

// pulls explains an image that does not come. While the kubelet waits to try again, the registry's own words are in a warning alone.
func (p patient) pulls(status *corev1.ContainerStatus, message string) Finding {
	if strings.HasPrefix(message, "Back-off") && !strings.Contains(message, ": ") {
		if said := p.witness.Warning(p.ctx, p.pod, "Failed", "ailed to pull"); said != "" {
			message = said
		}
	}
	if strings.Contains(message, "server gave HTTP response to HTTPS client") {
		message += " (the registry speaks plain HTTP, which this node must be allowed for it)"
	}
	name := status.Image
	if c := containerOf(p.pod, status.Name); c != nil && c.Image != "" {
		name = c.Image
	}
	return Finding{Cause: "the image " + name + " cannot be pulled: " + Short(message), Certain: hopeless(message)}
}

// hopeless reports whether a registry's answer will be the same the next time.
func hopeless(words string) bool {
	return holdsAny(strings.ToLower(words), "not found", "manifest unknown", "name unknown", "manifest_unknown", "name_unknown", "unauthorized",
		"access denied", "denied:", "does not exist", "no matching manifest", "no match for platform", "403 forbidden")
}

// containerOf is the container's spec, nil when the pod does not say.
func containerOf(pod *corev1.Pod, name string) *corev1.Container {
	for i := range pod.Spec.Containers {
		if c := &pod.Spec.Containers[i]; c.Name == name {
			return c
		}
	}
	return nil
}

func holdsAny(text string, parts ...string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
}

// Short keeps a reason readable; the end of a log matters more than its beginning.
func Short(text string) string {
	text = strings.TrimSpace(text)
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest/3]+" … "+text[len(text)-2*longest/3:], "")
}
