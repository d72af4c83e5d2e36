package diagnosis

import (
	"fmt"
	"regexp"
	"strings"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// ended explains a program that ended: how, how often, what it said last, and what helps.
func (p patient) ended(status *corev1.ContainerStatus, t *corev1.ContainerStateTerminated, previous bool) Finding {
	said := p.witness.LastWords(p.ctx, p.pod, status.Name, previous)
	found := ended(p.pod, status, t, said)
	found.Said, found.Certain = said, status.RestartCount >= EnoughEnds
	return found
}

// Ended says how a container's program ended and how often it was started, with what helps, as far as its last words tell. They themselves
// are not in it.
func Ended(pod *corev1.Pod, status *corev1.ContainerStatus, t *corev1.ContainerStateTerminated, said string) string {
	return ended(pod, status, t, said).Words()
}

func ended(pod *corev1.Pod, status *corev1.ContainerStatus, t *corev1.ContainerStateTerminated, said string) Finding {
	found := Finding{Cause: end(pod, status.Name, t), Help: help(pod, status.Name, said)}
	if status.RestartCount > 0 {
		found.Cause += fmt.Sprintf(" (started %d times)", status.RestartCount+1)
	}
	return found
}

// end is how a program ended.
func end(pod *corev1.Pod, container string, t *corev1.ContainerStateTerminated) string {
	switch signal := signalOf(t); {
	case t.Reason == "OOMKilled":
		return "the program took more memory than " + memoryLimit(pod, container) + " and was ended"
	case t.Reason == "StartError" || t.Reason == "ContainerCannotRun":
		return "the program cannot be started: " + t.Message
	case signal == syscall.SIGKILL:
		return "the program was killed"
	case signal != 0:
		return fmt.Sprintf("the program was ended by the signal %q", signal)
	case t.ExitCode == 0:
		return "the program ends by itself (exit code 0); a service must keep running"
	}
	return fmt.Sprintf("the program ends with exit code %d", t.ExitCode)
}

// signalOf is the signal that ended a program, 0 if none did. Most runtimes say it as an exit code above 128, as shells do.
func signalOf(t *corev1.ContainerStateTerminated) syscall.Signal {
	const last = 64
	if n := t.ExitCode - 128; t.Signal == 0 && n > 0 && n <= last {
		return syscall.Signal(n)
	}
	return syscall.Signal(t.Signal)
}

// A port below 1024 is open to a program when it is the service's; any other that it asks for is not.
var lowPort = regexp.MustCompile(`listen \w+ [^ ]*:(\d+): bind: permission denied`)

// help is what the program's last words let us advise, "" when they say nothing that we know.
func help(pod *corev1.Pod, container, said string) string {
	if low := lowPort.FindStringSubmatch(said); low != nil {
		return fmt.Sprintf("it may not listen on port %s: listen on $PORT, or deploy with --port %s", low[1], low[1])
	}
	if holdsAny(strings.ToLower(said), "read-only file system", "readonly database", "permission denied") {
		return "it may write into " + writable(pod, container) + " alone, whose files go with the instance"
	}
	return ""
}

// writable are the folders that a program may write into.
func writable(pod *corev1.Pod, container string) string {
	c := containerOf(pod, container)
	if c == nil || len(c.VolumeMounts) == 0 {
		return "/tmp"
	}
	var folders []string
	for _, m := range c.VolumeMounts {
		if m.ReadOnly {
			continue
		}
		folder := m.MountPath
		if limit := volumeLimit(pod, m.Name); limit != "" {
			folder += " (" + limit + ")"
		}
		folders = append(folders, folder)
	}
	return strings.Join(folders, " and ")
}

// volumeLimit is how large a volume may become, "" when nothing limits it.
func volumeLimit(pod *corev1.Pod, name string) string {
	for _, v := range pod.Spec.Volumes {
		if v.Name == name && v.EmptyDir != nil && v.EmptyDir.SizeLimit != nil {
			return amount(*v.EmptyDir.SizeLimit)
		}
	}
	return ""
}

func memoryLimit(pod *corev1.Pod, container string) string {
	if c := containerOf(pod, container); c != nil && !c.Resources.Limits.Memory().IsZero() {
		return "the " + amount(*c.Resources.Limits.Memory()) + " that an instance may use"
	}
	return "an instance may use"
}

// amount is a number of bytes as people write it: "512 MiB".
func amount(q resource.Quantity) string {
	bytes := q.Value()
	for _, unit := range []struct {
		name string
		size int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if bytes >= unit.size {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(bytes)/float64(unit.size)), ".0") + " " + unit.name
		}
	}
	return fmt.Sprintf("%d bytes", bytes)
}

func quoted(text string) string { return fmt.Sprintf("%.200q", text) }
