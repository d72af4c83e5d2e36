package diagnosis

import (
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// What helps where nodes are full.
const (
	moreRoom = "make the nodes larger or more of them (kubernetes.nodes in platform.yaml)"
	takeLess = "run fewer replicas"
)

// lacking are the scheduler's words for a node that has no room left, with ours.
var lacking = []struct{ theirs, ours string }{
	{"Insufficient cpu", "CPU"}, {"Insufficient memory", "memory"}, {"Insufficient ephemeral-storage", "disk"}, {"Too many pods", "room for more instances"},
}

var (
	allNodes  = regexp.MustCompile(`^0/(\d+) nodes are available`)
	nodeCount = regexp.MustCompile(`(\d+) ([A-Z][A-Za-z -]+)`)
)

// Unplaced explains a pod that no node takes, from what the scheduler says: "0/3 nodes are available: 2 Insufficient cpu, 1 Insufficient
// memory. preemption: …".
func Unplaced(pod *corev1.Pod, message string) string { return unplaced(pod, message).Words() }

func unplaced(pod *corev1.Pod, message string) Finding {
	reasons, _, _ := strings.Cut(message, " preemption: ")
	total := allNodes.FindStringSubmatch(reasons)
	if total == nil {
		return Finding{Cause: "no node takes it: " + message}
	}
	if total[1] == "0" {
		return Finding{Cause: "the region has no nodes", Room: "give it some (kubernetes.nodes in platform.yaml)"}
	}
	var full []string
	for _, found := range nodeCount.FindAllStringSubmatch(reasons, -1) {
		for _, l := range lacking {
			if strings.TrimSpace(found[2]) == l.theirs {
				full = append(full, fmt.Sprintf("too little %s on %s of %s", l.ours, found[1], total[1]))
			}
		}
	}
	if len(full) == 0 {
		_, reasons, _ = strings.Cut(reasons, ": ")
		return Finding{Cause: "no node takes it: " + strings.TrimRight(reasons, ". ")}
	}
	return Finding{Cause: fmt.Sprintf("no node has room for an instance%s: %s", wants(pod), strings.Join(full, ", ")), Help: takeLess, Room: moreRoom}
}

// wants is what an instance asks of its node.
func wants(pod *corev1.Pod) string {
	if len(pod.Spec.Containers) == 0 {
		return ""
	}
	asked := pod.Spec.Containers[0].Resources.Requests
	if asked.Cpu().IsZero() || asked.Memory().IsZero() {
		return ""
	}
	return fmt.Sprintf(" (%g CPU, %s)", asked.Cpu().AsApproximateFloat64(), amount(*asked.Memory()))
}

// The kubelet's words for what it ends a pod for.
var (
	volumeFull = regexp.MustCompile(`Usage of EmptyDir volume "([^"]+)" exceeds the limit "([^"]+)"`)
	diskFull   = regexp.MustCompile(`(?:exceeded its local ephemeral storage limit|storage usage exceeds the total limit of containers) "?([^" ]+[^" .])`)
	nodeShort  = regexp.MustCompile(`The node was low on resource: ([\w-]+)`)
)

// evictedForItself reports whether a pod was ended for what its own program took.
func evictedForItself(pod *corev1.Pod) bool {
	m := pod.Status.Message
	return pod.Status.Phase == corev1.PodFailed && (volumeFull.MatchString(m) || diskFull.MatchString(m))
}

// Evicted explains a pod that was ended as a whole; another takes its place.
func Evicted(pod *corev1.Pod) string { return evicted(pod).Words() }

func evicted(pod *corev1.Pod) Finding {
	message := strings.TrimSpace(pod.Status.Message)
	if full := volumeFull.FindStringSubmatch(message); full != nil {
		return Finding{Cause: fmt.Sprintf("it wrote more than the %s that %s may hold, and was ended", size(full[2]), folderOf(pod, full[1])),
			Help: "remove files that are done with, or write less"}
	}
	if full := diskFull.FindStringSubmatch(message); full != nil {
		return Finding{Cause: fmt.Sprintf("it wrote more than the %s that an instance may have on disk, its log included, and was ended", size(full[1])), Help: "write less"}
	}
	if short := nodeShort.FindStringSubmatch(message); short != nil {
		return Finding{Cause: fmt.Sprintf("its node ran short of %s and ended it", strings.ReplaceAll(short[1], "-", " ")), Help: takeLess, Room: moreRoom}
	}
	return Finding{Cause: strings.TrimRight("its instance was ended: "+pod.Status.Reason+": "+message, ": ")}
}

// folderOf is where the program sees a volume.
func folderOf(pod *corev1.Pod, volume string) string {
	for _, c := range pod.Spec.Containers {
		for _, m := range c.VolumeMounts {
			if m.Name == volume {
				return m.MountPath
			}
		}
	}
	return "/" + volume
}

// size is a quantity as Kubernetes writes it, in words.
func size(text string) string {
	q, err := resource.ParseQuantity(text)
	if err != nil {
		return text
	}
	return amount(q)
}
