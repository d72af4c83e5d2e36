package cluster_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/m3o/platform/internal/kube/node"
)

// podsAreNobody: whatever user a pod thinks it is, on the machine it is the caller,
// and where that is root another user, who owns nothing there.
func podsAreNobody(t *testing.T, w *world) {
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 && !aloneInNamespace(t) {
		uid, gid = 65532, 65532
	}
	pids := append(podProcesses(t, w.dir), nodeProcess(t, w.dir, "node-a"), nodeProcess(t, w.dir, "node-b"))
	if len(pids) < 4 {
		t.Fatalf("the processes of nodes and pods are %v", pids)
	}
	for _, pid := range pids {
		status := statusOf(t, pid)
		if got, want := status["Uid"], strings.Fields(strings.Repeat(strconv.Itoa(uid)+" ", 4)); !equal(got, want) {
			t.Errorf("process %d has the user ids %v on the machine, not %v", pid, got, want)
		}
		if got, want := status["Gid"], strings.Fields(strings.Repeat(strconv.Itoa(gid)+" ", 4)); !equal(got, want) {
			t.Errorf("process %d has the group ids %v on the machine, not %v", pid, got, want)
		}
		if got := status["Groups"]; uid == 65532 && len(got) > 0 {
			t.Errorf("process %d has root's groups %v", pid, got)
		}
	}
	// Inside, root is root of what the image holds.
	if _, err := w.ask(t.Context(), "client", "/write?path=/made-by-root&data=x"); err != nil {
		t.Errorf("root cannot write into its own file system: %v", err)
	}
	if owner, _, given := node.Owner(); owner != uid || given != (uid == 65532) {
		t.Errorf("nodes' files belong to %d, given away: %v", owner, given)
	}
}

// aloneInNamespace says that the test runs in a user namespace of one user: root
// has nobody there to give its place to.
func aloneInNamespace(t *testing.T) bool {
	t.Helper()
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(data))
	return len(fields) == 3 && fields[2] == "1"
}

func equal(a, b []string) bool { return strings.Join(a, " ") == strings.Join(b, " ") }

// statusOf reads /proc/PID/status.
func statusOf(t *testing.T, pid int) map[string][]string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	status := map[string][]string{}
	for line := range strings.Lines(string(data)) {
		name, values, _ := strings.Cut(line, ":")
		status[name] = strings.Fields(values)
	}
	return status
}

// volumeOutgrowsLimit: the kubelet evicts the pod, and says which volume it was.
func volumeOutgrowsLimit(t *testing.T, w *world) {
	limit := resource.MustParse("2Mi")
	filler := w.deployment("filler", 1, "one")
	pod := &filler.Spec.Template.Spec
	pod.Volumes = []corev1.Volume{{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &limit}}}}
	pod.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "scratch", MountPath: "/scratch"}}
	w.create(t, filler)
	w.waitRollout(t, "filler", 1)
	full := w.pod(t, "filler")
	if _, err := w.ask(t.Context(), "filler", "/fill?path=/scratch/little&bytes=1000000"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(25 * time.Second) // a round of measuring, and one of evicting
	if said, err := w.evictionOf(t.Context(), full); err != nil || said != "" {
		t.Fatalf("of a pod within its limit is said %q, %v", said, err)
	}
	if _, err := w.ask(t.Context(), "filler", "/fill?path=/scratch/lot&bytes=4000000"); err != nil {
		t.Fatal(err)
	}
	eventually(t, soon, func() error {
		said, err := w.evictionOf(t.Context(), full)
		if err == nil && said != `Usage of EmptyDir volume "scratch" exceeds the limit "2Mi".` {
			err = fmt.Errorf("of the pod that filled its volume is said %q", said)
		}
		return err
	})
	// It ends, and another takes its place, with an empty volume.
	eventually(t, soon, func() error {
		pod, err := w.client.CoreV1().Pods(namespace).Get(t.Context(), full, metav1.GetOptions{})
		if err == nil && pod.Status.Phase != corev1.PodFailed && pod.Status.Phase != corev1.PodSucceeded {
			err = fmt.Errorf("the pod is %s", pod.Status.Phase)
		}
		return err
	})
	if name := w.pod(t, "filler"); name == full {
		t.Errorf("%s is still ready", name)
	}
	if _, err := w.ask(t.Context(), "filler", "/read?path=/scratch/lot"); err == nil {
		t.Error("the next pod has what the other wrote")
	}
}

// memoryOutgrowsLimit: the container is ended, in the words that kubectl shows,
// and its pod stays and starts it again.
func memoryOutgrowsLimit(t *testing.T, w *world) {
	eater := w.deployment("eater", 1, "one")
	eater.Spec.Template.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}
	w.create(t, eater)
	w.waitRollout(t, "eater", 1)
	name := w.pod(t, "eater")
	if _, err := w.ask(t.Context(), "eater", "/eat?bytes=20000000"); err != nil {
		t.Fatal(err)
	}
	w.ask(t.Context(), "eater", "/eat?bytes=200000000") // whether it answers before it is ended is its luck
	eventually(t, soon, func() error {
		pod, err := w.client.CoreV1().Pods(namespace).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		status := pod.Status.ContainerStatuses[0]
		last := status.LastTerminationState.Terminated
		if last == nil || last.Reason != "OOMKilled" || last.ExitCode != 137 || status.RestartCount != 1 || !status.Ready {
			err = fmt.Errorf("its container is reported as %+v", status)
		}
		return err
	})
}

// evictionOf is what the kubelet said when it evicted the pod.
func (w *world) evictionOf(ctx context.Context, pod string) (string, error) {
	events, err := w.client.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{FieldSelector: "reason=Evicted,involvedObject.name=" + pod})
	if err != nil || len(events.Items) == 0 {
		return "", err
	}
	return strings.TrimSpace(events.Items[0].Message), nil
}
