package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/release"
)

// nodeName is a node nobody schedules on: the tests put pods there and report of them as its kubelet would.
const nodeName = "by-hand"

var makeNode = sync.OnceValue(func() error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName}, Spec: corev1.NodeSpec{Unschedulable: true}}
	_, err := admin.CoreV1().Nodes().Create(context.Background(), node, metav1.CreateOptions{})
	return err
})

// report puts the release's pods on the node and writes what its kubelet would: the state of their one container.
func report(t *testing.T, r release.Release, container corev1.ContainerStatus, probe string) {
	t.Helper()
	if err := makeNode(); err != nil {
		t.Fatal(err)
	}
	for _, pod := range awaitPods(t, r.Service, r.Number, r.Spec.Replicas) {
		binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: pod.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: nodeName}}
		if err := admin.CoreV1().Pods(pod.Namespace).Bind(t.Context(), binding, metav1.CreateOptions{}); err != nil && !apierrors.IsConflict(err) {
			t.Fatal(err)
		}
		writeStatus(t, pod, container)
		if probe != "" {
			unhealthy(t, pod, probe)
		}
	}
}

func writeStatus(t *testing.T, pod corev1.Pod, container corev1.ContainerStatus) {
	t.Helper()
	container.Name, container.Image = pod.Spec.Containers[0].Name, pod.Spec.Containers[0].Image
	ready := corev1.ConditionFalse
	if container.Ready {
		ready = corev1.ConditionTrue
	}
	long := metav1.NewTime(time.Now().Add(-time.Minute))
	status := corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.1.2.3", PodIPs: []corev1.PodIP{{IP: "10.1.2.3"}}, ContainerStatuses: []corev1.ContainerStatus{container},
		Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: ready, LastTransitionTime: long}}}
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CoreV1().Pods(pod.Namespace).Patch(t.Context(), pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
}

func unhealthy(t *testing.T, pod corev1.Pod, message string) {
	t.Helper()
	event := &corev1.Event{ObjectMeta: metav1.ObjectMeta{GenerateName: pod.Name + "."}, Type: corev1.EventTypeWarning, Reason: "Unhealthy", Message: message,
		LastTimestamp: metav1.Now(), InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}}
	if _, err := admin.CoreV1().Events(pod.Namespace).Create(t.Context(), event, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func waiting(reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
}

func looping(restarts int32, last corev1.ContainerStateTerminated) corev1.ContainerStatus {
	status := waiting("CrashLoopBackOff", "back-off 40s restarting failed container")
	status.RestartCount, status.LastTerminationState = restarts, corev1.ContainerState{Terminated: &last}
	return status
}

func running() corev1.ContainerStatus {
	return corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
}

// Every way in which a release does not come up is told in words a developer can act on, and given up only when more
// waiting cannot help.
func TestRolloutIsExplained(t *testing.T) {
	for i, c := range []struct {
		name      string
		container corev1.ContainerStatus
		probe     string
		health    string
		failed    bool
		words     string
	}{
		{"image is not there", waiting("ErrImagePull", "registry.example: manifest unknown"), "", "", true, "cannot be pulled: registry.example: manifest unknown"},
		{"registry is away", waiting("ImagePullBackOff", `Back-off pulling image "x": ErrImagePull: dial tcp: i/o timeout`), "", "", false, "ErrImagePull: dial tcp: i/o timeout"},
		{"image name is none", waiting("InvalidImageName", "bad"), "", "", true, "is not the name of an image"},
		{"crashed once", looping(1, corev1.ContainerStateTerminated{ExitCode: 2, Reason: "Error"}), "", "", false, "exit code 2 (started 2 times)"},
		{"crashes again and again", looping(2, corev1.ContainerStateTerminated{ExitCode: 2, Reason: "Error"}), "", "", true, "the program ends with exit code 2 (started 3 times)"},
		{"too much memory", looping(3, corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}), "", "", true, "took more memory than the 512 MiB that an instance may use"},
		{"ends by itself", looping(4, corev1.ContainerStateTerminated{ExitCode: 0, Reason: "Completed"}), "", "", true, "a service must keep running"},
		{"cannot be started", looping(3, corev1.ContainerStateTerminated{ExitCode: 128, Reason: "StartError", Message: "exec format error"}), "", "", true, "cannot be started: exec format error"},
		{"listens elsewhere", running(), "Readiness probe failed: dial tcp 10.1.2.3:9090: connect: connection refused", "", false,
			"0 of 2 instances ready: nothing answers on port 9090: listen on $PORT on all addresses"},
		{"unwell", running(), "Readiness probe failed: HTTP probe failed with statuscode: 503", "/healthz", false, "/healthz on port 9090 answers with status 503"},
		{"slow", running(), `Readiness probe failed: Get "http://10.1.2.3:9090/healthz": context deadline exceeded`, "/healthz", false, "/healthz on port 9090 does not answer within 3 seconds"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := hello(fmt.Sprintf("explained-%d", i), 1)
			r.Spec.Health = c.health
			applyService(t, r)
			report(t, r, c.container, c.probe)
			state := settledState(t, r)
			if state.Failed != c.failed || state.Done || !strings.Contains(state.Reason, c.words) {
				t.Errorf("got %+v; want failed %v and %q", state, c.failed, c.words)
			}
		})
	}
}

// settledState is the state once the Deployment's controller has seen what was applied.
func settledState(t *testing.T, r release.Release) cluster.Rollout {
	t.Helper()
	eventually(t, "the controller sees the release", func() (bool, string) {
		d := applyService(t, r)
		return d.Status.ObservedGeneration == d.Generation, ""
	})
	state, err := client.ServiceState(t.Context(), r.Service, r.Number)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func TestRolloutIsDoneWhenEveryInstanceIsReady(t *testing.T) {
	r := hello("done", 1)
	applyService(t, r)
	ready := running()
	ready.Ready = true
	report(t, r, ready, "")
	eventually(t, "the release is done", func() (bool, string) {
		state, err := client.ServiceState(t.Context(), r.Service, 1)
		return err == nil && state.Done && state.Ready == 2 && !state.Failed, fmt.Sprintf("%+v, %v", state, err)
	})
	next := hello("done", 2)
	applyService(t, next)
	if state, err := client.ServiceState(t.Context(), r.Service, 2); err != nil || state.Done {
		t.Errorf("the next release is done before it began: %+v, %v", state, err)
	}
}

// A rollout that gets nowhere fails when its deadline has passed, with what it waited for.
func TestRolloutFailsAtItsDeadline(t *testing.T) {
	r := hello("late", 1)
	d := applyService(t, r)
	if _, err := admin.AppsV1().Deployments(d.Namespace).Patch(t.Context(), d.Name, types.MergePatchType, []byte(`{"spec":{"progressDeadlineSeconds":2}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the deadline passes", func() (bool, string) {
		state, err := client.ServiceState(t.Context(), r.Service, 1)
		ok := err == nil && state.Failed && strings.Contains(state.Reason, "0 of 2 instances ready after 2s: ")
		return ok, fmt.Sprintf("%+v, %v", state, err)
	})
}

// A release that no node has room for says what it lacks, and what helps.
func TestRolloutOnFullNodes(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "tiny"}, Status: corev1.NodeStatus{
		Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("1Gi"), corev1.ResourcePods: resource.MustParse("10")},
		Conditions:  []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Now()}}}}
	if _, err := admin.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	defer admin.CoreV1().Nodes().Delete(context.Background(), node.Name, metav1.DeleteOptions{})
	r := hello("roomless", 1)
	applyService(t, r)
	eventually(t, "what the nodes lack", func() (bool, string) {
		state, err := client.ServiceState(t.Context(), r.Service, 1)
		ok := err == nil && strings.Contains(state.Reason, "too little CPU on 1") && strings.Contains(state.Reason, "has room for an instance (0.05 CPU, 64 MiB)") &&
			strings.Contains(state.Reason, "run fewer replicas, or make the nodes larger or more of them (kubernetes.nodes in platform.yaml)")
		return ok, fmt.Sprintf("%+v, %v", state, err)
	})
}

// A project that is full says so.
func TestRolloutThatQuotaRefuses(t *testing.T) {
	r := hello("full", 1)
	applyService(t, r)
	awaitPods(t, r.Service, 1, 2)
	quotas := admin.CoreV1().ResourceQuotas("project-full")
	quota, err := quotas.Get(t.Context(), "m3o", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	quota.Spec.Hard[corev1.ResourcePods] = resource.MustParse("0")
	if _, err := quotas.Update(t.Context(), quota, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := admin.CoreV1().Pods("project-full").DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the quota's limit", func() (bool, string) {
		state, err := client.ServiceState(t.Context(), r.Service, 1)
		return err == nil && strings.Contains(state.Reason, "the project has used up what it may have in the region"), fmt.Sprintf("%+v, %v", state, err)
	})
}
