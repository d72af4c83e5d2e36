package diagnosis

import (
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// moreRoom is what helps where nodes are full.
const moreRoom = "make the nodes larger or more of them (kubernetes.nodes in platform.yaml), or run fewer replicas"

// lacking are the scheduler's words for a node that has no room left, with ours.
var lacking = []struct{ theirs, ours string }{
	{"Insufficient cpu", "CPU"}, {"Insufficient memory", "memory"}, {"Insufficient ephemeral-storage", "disk"}, {"Too many pods", "places for instances"},
}

var (
	allNodes  = regexp.MustCompile(`^0/(\d+) nodes are available`)
	nodeCount = regexp.MustCompile(`(\d+) ([A-Z][A-Za-z -]+)`)
)

// homeless explains a pod that no node takes, from what the scheduler says: "0/3 nodes are available: 2 Insufficient cpu, 1 Insufficient
// memory. preemption: …".
func (p patient) homeless(message string) string {
	reasons, _, _ := strings.Cut(message, " preemption: ")
	total := allNodes.FindStringSubmatch(reasons)
	if total == nil {
		return "no node takes it: " + message
	}
	if total[1] == "0" {
		return "the region has no nodes: give it some (kubernetes.nodes in platform.yaml)"
	}
	var full []string
	for _, found := range nodeCount.FindAllStringSubmatch(reasons, -1) {
		for _, l := range lacking {
			if strings.TrimSpace(found[2]) == l.theirs {
				full = append(full, fmt.Sprintf("%s lack %s", found[1], l.ours))
			}
		}
	}
	if len(full) == 0 {
		_, reasons, _ = strings.Cut(reasons, ": ")
		return fmt.Sprintf("none of the %s nodes takes it: %s", total[1], strings.TrimRight(reasons, ". "))
	}
	return fmt.Sprintf("none of the %s nodes has room for an instance%s: %s: %s", total[1], p.wants(), strings.Join(full, ", "), moreRoom)
}

// wants is what an instance asks of its node.
func (p patient) wants() string {
	if len(p.pod.Spec.Containers) == 0 {
		return ""
	}
	asked := p.pod.Spec.Containers[0].Resources.Requests
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

// evicted explains a pod that was ended as a whole; another takes its place.
func (p patient) evicted() string {
	message := strings.TrimSpace(p.pod.Status.Message)
	if full := volumeFull.FindStringSubmatch(message); full != nil {
		return fmt.Sprintf("it wrote more than the %s that %s may hold, and was ended: remove files that are done with, or write less", size(full[2]), p.folder(full[1]))
	}
	if full := diskFull.FindStringSubmatch(message); full != nil {
		return fmt.Sprintf("it wrote more than the %s that an instance may have on disk, its log included, and was ended: write less", size(full[1]))
	}
	if short := nodeShort.FindStringSubmatch(message); short != nil {
		return fmt.Sprintf("its node ran short of %s and ended it: %s", strings.ReplaceAll(short[1], "-", " "), moreRoom)
	}
	return strings.TrimRight("its instance was ended: "+p.pod.Status.Reason+": "+message, ": ")
}

// folder is where the program sees a volume.
func (p patient) folder(volume string) string {
	for _, c := range p.pod.Spec.Containers {
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
