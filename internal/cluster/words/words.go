// Package words says in words what the state of a pod of a service means: how its program ended, and why it is not ready.
//
// It reads what Kubernetes reports and asks nobody; whoever has the log adds the program's last words. Package cluster and the
// gateway say the same by it.
package words

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// longest is how many bytes of a reason are shown.
const longest = 1200

// Ended says how a container's program ended, and how often it was started.
func Ended(pod *corev1.Pod, status *corev1.ContainerStatus, t *corev1.ContainerStateTerminated) string {
	words := fmt.Sprintf("the program ends with exit code %d", t.ExitCode)
	switch {
	case t.Reason == "OOMKilled":
		words = "the program takes more memory than the " + limitOf(pod, status.Name) + " it may have, and was killed"
	case t.Reason == "StartError" || t.Reason == "ContainerCannotRun":
		words = "the program cannot be started: " + t.Message
	case t.Signal != 0:
		words = fmt.Sprintf("the program was ended by signal %d", t.Signal)
	case t.ExitCode == 0:
		words = "the program ends by itself (exit code 0); a service must keep running"
	}
	if status.RestartCount > 0 {
		words += fmt.Sprintf(" (started %d times)", status.RestartCount+1)
	}
	return words
}

func limitOf(pod *corev1.Pod, container string) string {
	for _, c := range pod.Spec.Containers {
		if c.Name == container {
			return c.Resources.Limits.Memory().String()
		}
	}
	return "memory"
}

// Unready says why a container that runs is not ready, from what its readiness probe met, which is "" when it has said nothing.
func Unready(pod *corev1.Pod, container, met string) string {
	number, path := Probe(pod, container)
	at := fmt.Sprintf("port %d", number)
	if path != "" {
		at = path + " on " + at
	}
	switch {
	case met == "":
		return "it runs, and nobody has seen it ready yet"
	case strings.Contains(met, "connection refused"):
		return fmt.Sprintf("nothing answers on port %d", number)
	case strings.Contains(met, "statuscode"):
		_, code, _ := strings.Cut(met, "statuscode: ")
		return fmt.Sprintf("%s answers with status %s", at, strings.TrimSpace(code))
	case strings.Contains(met, "deadline exceeded"), strings.Contains(met, "i/o timeout"):
		return at + " does not answer in time"
	}
	return Short("it is not ready: " + met)
}

// Probe is the port and the path that the container's readiness is asked at. The path is empty where a connection is enough.
func Probe(pod *corev1.Pod, container string) (number int32, path string) {
	for _, c := range pod.Spec.Containers {
		if c.Name != container || c.ReadinessProbe == nil {
			continue
		}
		name := ""
		switch probe := c.ReadinessProbe; {
		case probe.HTTPGet != nil:
			path, name = probe.HTTPGet.Path, probe.HTTPGet.Port.StrVal
		case probe.TCPSocket != nil:
			name = probe.TCPSocket.Port.StrVal
		}
		for _, p := range c.Ports {
			if p.Name == name {
				return p.ContainerPort, path
			}
		}
	}
	return 0, ""
}

// Short keeps a reason readable; the end of a log matters more than its beginning.
func Short(text string) string {
	text = strings.TrimSpace(text)
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest/3]+" … "+text[len(text)-2*longest/3:], "")
}
