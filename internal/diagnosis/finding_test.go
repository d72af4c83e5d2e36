package diagnosis_test

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/m3o/platform/internal/diagnosis"
)

// told is a witness that knows the last words of this run and of the one before, and the newest warning.
type told struct{ now, before, warning string }

func (w told) LastWords(_ context.Context, _ *corev1.Pod, _ string, previous bool) string {
	if previous {
		return w.before
	}
	return w.now
}

func (w told) Warning(_ context.Context, _ *corev1.Pod, _, words string) string {
	if strings.Contains(w.warning, words) {
		return w.warning
	}
	return ""
}

// pod is an instance as the platform makes them, whose container is as its kubelet reports.
func pod(health string, status corev1.ContainerStatus) corev1.Pod {
	status.Name = "hello"
	asks := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromString("http")}}}
	if health != "" {
		asks.ProbeHandler = corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: health, Port: intstr.FromString("http")}}
	}
	return corev1.Pod{Spec: corev1.PodSpec{
		Volumes: []corev1.Volume{{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: new(resource.MustParse("256Mi"))}}}},
		Containers: []corev1.Container{{Name: "hello", Image: "registry.example/hello:1", ReadinessProbe: asks,
			Ports:        []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
			VolumeMounts: []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}},
			Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
				Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi"), corev1.ResourceCPU: resource.MustParse("50m")}}}},
	}, Status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{status}}}
}

func runs() corev1.ContainerStatus {
	return corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
}

func waits(reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
}

func loops(restarts int32, code int32, reason string) corev1.ContainerStatus {
	s := waits("CrashLoopBackOff", "back-off 40s restarting failed container")
	s.RestartCount, s.LastTerminationState.Terminated = restarts, &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason}
	return s
}

const refused = "Readiness probe failed: dial tcp 10.1.2.3:8080: connect: connection refused"

// What keeps an instance is said in words that its developer can act on, and as certain only when waiting cannot help.
func TestFindings(t *testing.T) {
	for name, c := range map[string]struct {
		pod     corev1.Pod
		told    told
		certain bool
		want    string // all that is said
	}{
		"on loopback": {pod("", runs()), told{now: "mode loopback\nlistening on 127.0.0.1:8080", warning: refused}, false,
			"nothing answers on port 8080: its log names 127.0.0.1:8080, which only the instance itself reaches: listen on all addresses (0.0.0.0); its last words:\nmode loopback\nlistening on 127.0.0.1:8080"},
		"on loopback of version 6": {pod("", runs()), told{now: "listening on [::1]:8080", warning: refused}, false,
			"nothing answers on port 8080: its log names [::1]:8080, which only the instance itself reaches: listen on all addresses (0.0.0.0); its last words:\nlistening on [::1]:8080"},
		"on loopback, another port": {pod("", runs()), told{now: "* Running on http://localhost:5000", warning: refused}, false,
			"nothing answers on port 8080: its log names localhost:5000, which only the instance itself reaches: listen on all addresses (0.0.0.0) and on $PORT; its last words:\n* Running on http://localhost:5000"},
		"on another port": {pod("", runs()), told{now: "mode fixed port 8080\nlistening on [::]:3000", warning: refused}, false,
			"nothing answers on port 8080: its log names port 3000: listen on $PORT, or deploy with --port 3000; its last words:\nmode fixed port 8080\nlistening on [::]:3000"},
		"nowhere, silently": {pod("", runs()), told{warning: refused}, false,
			"nothing answers on port 8080: listen on $PORT on all addresses (0.0.0.0), or say with --port where it listens; if it needs longer, say so with --start"},
		"nowhere, at work": {pod("", runs()), told{now: "starting at 2026-11-30 15:57:21\nserves job 4711 first", warning: refused}, false,
			"nothing answers on port 8080: listen on $PORT on all addresses (0.0.0.0), or say with --port where it listens; if it needs longer, say so with --start; its last words:\nstarting at 2026-11-30 15:57:21\nserves job 4711 first"},
		"just started": {pod("", runs()), told{}, false, "the program runs, and has not been seen ready yet"},
		"no such health path": {pod("/up", runs()), told{warning: "Readiness probe failed: HTTP probe failed with statuscode: 404"}, false,
			"/up on port 8080 answers with status 404: say with --health a path that answers GET with 200"},
		"not well": {pod("/up", runs()), told{now: "no database", warning: "Readiness probe failed: HTTP probe failed with statuscode: 503"}, false,
			"/up on port 8080 answers with status 503: it says that it is not well; its last words:\nno database"},
		"health behind a login": {pod("/up", runs()), told{warning: "Readiness probe failed: HTTP probe failed with statuscode: 401"}, false,
			"/up on port 8080 answers with status 401: the health check brings no credentials, so answer it without"},
		"health forces https": {pod("/up", runs()), told{warning: `Readiness probe failed: Get "https://10.1.2.3:8080/up": http: server gave HTTP response to HTTPS client`}, false,
			"/up on port 8080 redirects to https, which the platform speaks for the program: answer the health check without redirecting"},
		"health in time": {pod("/up", runs()), told{warning: `Readiness probe failed: Get "http://10.1.2.3:8080/up": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`}, false,
			"/up on port 8080 does not answer within 3 seconds: answer the health check without waiting for others"},
		"on another address": {pod("", runs()), told{now: "listening on [::]:8080", warning: refused}, false,
			"nothing answers on port 8080: it may listen on IPv6 alone, or on one address: listen on all addresses (0.0.0.0); its last words:\nlistening on [::]:8080"},
		"HTTP/2 alone": {pod("/up", runs()), told{warning: `(combined from similar events): Readiness probe failed: Get "http://10.1.2.3:8080/up": read tcp 10.1.0.1:46212->10.1.2.3:8080: read: connection reset by peer`}, false,
			"/up on port 8080 does not answer in HTTP/1.1: serve it, leave the health path out, or say --protocol h2c if that is what it speaks"},
		"no HTTP": {pod("/up", runs()), told{warning: `Readiness probe failed: Get "http://10.1.2.3:8080/up": net/http: HTTP/1.x transport connection broken: malformed HTTP response "INFO {}"`}, false,
			"/up on port 8080 does not answer in HTTP/1.1: serve it, leave the health path out, or say --protocol h2c if that is what it speaks"},
		"ended once":  {pod("", loops(1, 2, "Error")), told{before: "panic: no database"}, false, "the program ends with exit code 2 (started 2 times); its last words:\npanic: no database"},
		"ends always": {pod("", loops(2, 1, "Error")), told{before: "DATABASE_URL must be set"}, true, "the program ends with exit code 1 (started 3 times); its last words:\nDATABASE_URL must be set"},
		"ends well":   {pod("", loops(3, 0, "Completed")), told{}, true, "the program ends by itself (exit code 0); a service must keep running (started 4 times)"},
		"out of memory": {pod("", loops(2, 137, "OOMKilled")), told{before: "ate 700 MiB"}, true,
			"the program took more memory than the 512 MiB that an instance may use and was ended (started 3 times); its last words:\nate 700 MiB"},
		"killed":  {pod("", loops(1, 137, "Error")), told{}, false, "the program was killed (started 2 times)"},
		"a crash": {pod("", loops(1, 139, "Error")), told{}, false, `the program was ended by the signal "segmentation fault" (started 2 times)`},
		"writes beside itself": {pod("", loops(2, 1, "Error")), told{before: "open data.db: read-only file system"}, true,
			"the program ends with exit code 1 (started 3 times): it may write into /tmp (256 MiB) alone, whose files go with the instance; its last words:\nopen data.db: read-only file system"},
		"writes into another's folder": {pod("", loops(2, 1, "Error")), told{before: "mkdir /data: permission denied"}, true,
			"the program ends with exit code 1 (started 3 times): it may write into /tmp (256 MiB) alone, whose files go with the instance; its last words:\nmkdir /data: permission denied"},
		"a system port": {pod("", loops(2, 1, "Error")), told{before: "listen tcp :80: bind: permission denied"}, true,
			"the program ends with exit code 1 (started 3 times): it may not listen on port 80: listen on $PORT, or deploy with --port 80; its last words:\nlisten tcp :80: bind: permission denied"},
		"no such image": {pod("", waits("ErrImagePull", "registry.example: manifest unknown")), told{}, true, "the image registry.example/hello:1 cannot be pulled: registry.example: manifest unknown"},
		"registry away": {pod("", waits("ImagePullBackOff", `Back-off pulling image "x"`)), told{warning: "Failed to pull image: dial tcp: i/o timeout"}, false,
			"the image registry.example/hello:1 cannot be pulled: Failed to pull image: dial tcp: i/o timeout"},
		"being set up": {pod("", waits("ContainerCreating", "")), told{}, false, "its instance is being set up"},
	} {
		t.Run(name, func(t *testing.T) {
			found := diagnosis.Of(t.Context(), &c.pod, c.told)
			if found.Words() != c.want || found.Certain != c.certain {
				t.Errorf("certain %v, %q;\nwant %v, %q", found.Certain, found.Words(), c.certain, c.want)
			}
		})
	}
}

// Whoever runs a region is not told how to write the program of one of its parts, but which nodes it takes.
func TestOperatorsAreToldWhatIsTheirs(t *testing.T) {
	for want, p := range map[string]corev1.Pod{
		"nothing answers on port 8080; its last words:\nstarting": pod("", runs()),
		"no node has room for an instance (0.05 CPU, 64 MiB): too little CPU on 1 of 1: make the nodes larger or more of them (kubernetes.nodes in platform.yaml)": unplaced("0/1 nodes are available: 1 Insufficient cpu."),
	} {
		if got := diagnosis.Of(t.Context(), &p, told{now: "starting", warning: refused}).OperatorWords(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A restart is told while the program has just begun to run again; later, what its probe met is.
func TestARestartIsTold(t *testing.T) {
	again := runs()
	again.State.Running.StartedAt = metav1.Now()
	again.RestartCount, again.LastTerminationState.Terminated = 1, &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}
	p := pod("", again)
	want := "the program ends with exit code 1 (started 2 times); its last words:\nlost the database"
	if found := diagnosis.Of(t.Context(), &p, told{before: "lost the database", warning: refused}); found.Words() != want || found.Certain {
		t.Errorf("%+v", found)
	}
	p.Status.ContainerStatuses[0].State.Running.StartedAt = metav1.NewTime(time.Now().Add(-time.Minute))
	if found := diagnosis.Of(t.Context(), &p, told{before: "lost the database", warning: refused}); found.Cause != "nothing answers on port 8080" || found.Certain {
		t.Errorf("a minute later: %+v", found)
	}
}

func unplaced(message string) corev1.Pod {
	p := pod("", runs())
	p.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: message}}}
	return p
}

func TestFullNodesSayWhatHelps(t *testing.T) {
	for said, want := range map[string]string{
		"0/3 nodes are available: 1 Insufficient memory, 3 Insufficient cpu. no new claims to deallocate, preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod.": "no node has room for an instance (0.05 CPU, 64 MiB): too little memory on 1 of 3, too little CPU on 3 of 3: " +
			"run fewer replicas, or make the nodes larger or more of them (kubernetes.nodes in platform.yaml)",
		"0/1 nodes are available: 1 Too many pods. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.": "no node has room for an instance (0.05 CPU, 64 MiB): too little room for more instances on 1 of 1: " +
			"run fewer replicas, or make the nodes larger or more of them (kubernetes.nodes in platform.yaml)",
		"0/2 nodes are available: 2 node(s) were unschedulable. preemption: 0/2 nodes are available.": "no node takes it: 2 node(s) were unschedulable",
		"0/0 nodes are available: no nodes available to schedule pods":                                "the region has no nodes: give it some (kubernetes.nodes in platform.yaml)",
		"no nodes available to schedule pods":                                                         "no node takes it: no nodes available to schedule pods",
	} {
		p := unplaced(said)
		if found := diagnosis.Of(t.Context(), &p, told{}); found.Words() != want || found.Certain {
			t.Errorf("%q:\ngot  %q\nwant %q", said, found.Words(), want)
		}
	}
}

func ended(message string) corev1.Pod {
	p := pod("", runs())
	p.Status = corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: message}
	return p
}

func TestAnInstanceThatWasEvictedSaysWhatFor(t *testing.T) {
	for said, want := range map[string]string{
		`Usage of EmptyDir volume "tmp" exceeds the limit "256Mi". `:                         "it wrote more than the 256 MiB that /tmp may hold, and was ended: remove files that are done with, or write less",
		`Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. `:      "it wrote more than the 1 GiB that an instance may have on disk, its log included, and was ended: write less",
		`Container hello exceeded its local ephemeral storage limit "1Gi". `:                 "it wrote more than the 1 GiB that an instance may have on disk, its log included, and was ended: write less",
		"The node was low on resource: memory. Threshold quantity: 100Mi, available: 80Mi. ": "its node ran short of memory and ended it: run fewer replicas, or make the nodes larger or more of them (kubernetes.nodes in platform.yaml)",
		"Pod was terminated in response to imminent node shutdown.":                          "its instance was ended: Evicted: Pod was terminated in response to imminent node shutdown.",
		"The node had condition: [DiskPressure]. ":                                           "its instance was ended: Evicted: The node had condition: [DiskPressure].",
	} {
		p := ended(said)
		if found := diagnosis.Of(t.Context(), &p, told{}); found.Words() != want || found.Certain {
			t.Errorf("%q:\ngot  %q\nwant %q", said, found.Words(), want)
		}
	}
}

// Instances that fill their disk one after the other do not come right by waiting; one that did it once may.
func TestWorst(t *testing.T) {
	full, silent := ended(`Usage of EmptyDir volume "tmp" exceeds the limit "256Mi". `), pod("", runs())
	going, well := pod("", loops(5, 1, "Error")), pod("", runs())
	going.DeletionTimestamp = new(metav1.Now())
	well.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	if found := diagnosis.Worst(t.Context(), []corev1.Pod{going, well}, told{}); found.Words() != "" || found.Certain {
		t.Errorf("of a pod that goes and one that is well: %+v", found)
	}
	if found := diagnosis.Worst(t.Context(), []corev1.Pod{full, silent, full}, told{}); found.Certain || !strings.Contains(found.Words(), "/tmp") {
		t.Errorf("of two that filled their disk: %+v", found)
	}
	if found := diagnosis.Worst(t.Context(), []corev1.Pod{full, silent, full, full}, told{}); !found.Certain || !strings.Contains(found.Words(), "/tmp") {
		t.Errorf("of three that filled their disk: %+v", found)
	}
	if found := diagnosis.Worst(t.Context(), []corev1.Pod{silent, pod("", loops(2, 1, "Error"))}, told{}); !found.Certain || !strings.Contains(found.Words(), "exit code 1") {
		t.Errorf("of one that runs and one that cannot: %+v", found)
	}
}

// Of a pod whose spec was cut down the same is said, with fewer figures.
func TestAPodWithoutItsSpec(t *testing.T) {
	for want, p := range map[string]corev1.Pod{
		"nothing answers on its port: its log names port 3000":         pod("", runs()),
		"took more memory than an instance may use":                    pod("", loops(2, 137, "OOMKilled")),
		"it wrote more than the 256 MiB that /tmp may hold":            ended(`Usage of EmptyDir volume "tmp" exceeds the limit "256Mi". `),
		"no node has room for an instance: too little CPU on 1 of 1: ": unplaced("0/1 nodes are available: 1 Insufficient cpu."),
	} {
		p.Spec = corev1.PodSpec{Containers: []corev1.Container{{Name: "hello"}}}
		if found := diagnosis.Of(t.Context(), &p, told{now: "listening on :3000", warning: refused}); !strings.Contains(found.Words(), want) {
			t.Errorf("got %q, want %q", found.Words(), want)
		}
	}
}

func TestRefusedInstances(t *testing.T) {
	for said, want := range map[string]string{
		`pods "hello-1" is forbidden: exceeded quota: m3o, requested: pods=1, used: pods=500, limited: pods=500`: "the project has used up what it may have in the region (500 instances): run fewer replicas, or remove services",
		`pods "hello-1" is forbidden: exceeded quota: m3o, requested: limits.memory=512Mi,pods=1, used: limits.memory=400Gi,pods=500, limited: limits.memory=400Gi,pods=500`: "the project has used up what it may have in the region (400Gi memory, 500 instances): " +
			"run fewer replicas, or remove services",
		`pods "hello-1" is forbidden: violates PodSecurity "restricted:latest"`: `its instances are refused: pods "hello-1" is forbidden: violates PodSecurity "restricted:latest"`,
	} {
		if got := diagnosis.Refused(said); got != want {
			t.Errorf("%q:\ngot  %q\nwant %q", said, got, want)
		}
	}
}
