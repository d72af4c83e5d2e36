package gateway

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/ticket"
)

// operator is a ticket of the control plane.
func (w *world) operator(scopes ...string) string { return w.ticket("", scopes...) }

func (w *world) report(query string) release.Report {
	w.t.Helper()
	got := w.get("/-/instances"+query, w.operator(ticket.ReadInstances))
	var report release.Report
	if err := json.Unmarshal([]byte(got.body), &report); err != nil || got.status != http.StatusOK {
		w.t.Fatalf("got %+v, %v", got, err)
	}
	return report
}

// change changes a pod as its kubelet would.
func (p *pod) change(f func(*corev1.Pod)) {
	p.w.t.Helper()
	pods := p.w.cluster.CoreV1().Pods(p.key.Namespace())
	object, err := pods.Get(p.w.t.Context(), p.name, metav1.GetOptions{})
	if err != nil {
		p.w.t.Fatal(err)
	}
	f(object)
	if _, err := pods.Update(p.w.t.Context(), object, metav1.UpdateOptions{}); err != nil {
		p.w.t.Fatal(err)
	}
}

// crash ends the pod's program.
func (p *pod) crash() {
	p.change(func(object *corev1.Pod) {
		object.Status.Conditions[0] = corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: metav1.Now()}
		object.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "service", RestartCount: 2,
			State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, FinishedAt: metav1.Now()}}}}
	})
}

func TestInstancesAreReportedToTheControlPlaneAlone(t *testing.T) {
	w := newWorld(t, nil)
	w.service(greet, release.ByKey)
	w.run(greet, 1, address(hello(t, "one")), nil)
	w.awaitReady()
	for name, c := range map[string]struct {
		token  string
		status int
	}{
		"nobody":             {"", http.StatusUnauthorized},
		"a caller":           {w.ticket("default", "call:default/hello", "logs:default/*"), http.StatusForbidden},
		"a project's ticket": {w.ticket("default", ticket.ReadInstances), http.StatusForbidden},
		"another scope":      {w.operator(ticket.ReadReleases), http.StatusForbidden},
		"the control plane":  {w.operator(ticket.ReadInstances), http.StatusOK},
	} {
		if got := w.get("/-/instances", c.token); got.status != c.status {
			t.Errorf("%s gets %d: %s", name, got.status, got.body)
		}
	}
	if got := w.get("/-/instances?after=x", w.operator(ticket.ReadInstances)); got.status != http.StatusBadRequest || !strings.Contains(got.body, "project/service") {
		t.Errorf("a bad place gets %+v", got)
	}
	if report := w.report("?after=default/hello"); len(report.Services) != 0 || report.Next != "" {
		t.Errorf("after the last one comes %+v", report)
	}
}

func TestACrashIsReportedWithTheProgramsLastWords(t *testing.T) {
	w := newWorld(t, nil)
	w.service(greet, release.ByKey)
	p := w.run(greet, 3, address(hello(t, "one")), nil)
	w.awaitReady()
	if i := w.report("").Services[0].Instances[0]; i.Name != p.name || i.Release != 3 || i.State != release.InstanceReady || i.Said != "" {
		t.Errorf("a ready one: %+v", i)
	}
	p.crash()
	w.eventually("the crash is reported", func() bool {
		i := w.report("").Services[0].Instances[0]
		return i.State == release.InstanceRestarting && i.Restarts == 2 && strings.HasPrefix(i.Message, "the program ends with exit code 1 (started 3 times)") && i.Said == "fake logs" &&
			time.Since(i.Since) < time.Minute
	})
}

// The gateway tries out itself why a program that runs is not ready.
func TestWhyAProgramDoesNotAnswerIsReported(t *testing.T) {
	w := newWorld(t, nil)
	w.service(greet, release.ByKey)
	server := program(t, func(rw http.ResponseWriter, _ *http.Request) {
		http.Error(rw, "no database", http.StatusInternalServerError)
	})
	p := w.run(greet, 1, address(server), nil)
	w.awaitReady()
	p.change(func(object *corev1.Pod) { runs(object, server) })
	w.eventually("its status is reported", func() bool {
		i := w.report("").Services[0].Instances[0]
		return i.State == release.InstanceUnready && strings.HasPrefix(i.Message, "/healthz on port ") && strings.Contains(i.Message, " answers with status 500: ")
	})
}

// runs makes a pod whose program runs, was ready and is not.
func runs(object *corev1.Pod, server *httptest.Server) {
	host, word, _ := net.SplitHostPort(address(server))
	number, _ := strconv.Atoi(word)
	container := &object.Spec.Containers[0]
	container.Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: int32(number)}}
	container.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromString("http")}}}
	object.Status.PodIP = host
	object.Status.Conditions[0] = corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: metav1.Now()}
	object.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "service",
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(time.Now().Add(-time.Hour))}}}}
}

func TestNothingIsReportedOfASuspendedProject(t *testing.T) {
	w := newWorld(t, nil)
	w.service(greet, release.ByKey)
	w.run(greet, 1, address(hello(t, "one")), nil)
	w.awaitReady()
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: greet.Namespace(), Labels: map[string]string{release.LabelProject: greet.Project, release.LabelSuspended: "true"}}}
	if _, err := w.cluster.CoreV1().Namespaces().Create(t.Context(), space, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.eventually("the suspension is reported", func() bool {
		report := w.report("")
		return len(report.Services) == 0 && len(report.Suspended) == 1 && report.Suspended[0] == greet.Project
	})
}
