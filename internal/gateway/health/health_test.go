package health

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/m3o/platform/internal/release"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// instance is a pod of shop/till that was made an hour before noon, and ready a second later.
func instance(change func(*corev1.Pod, *corev1.ContainerStatus)) *corev1.Pod {
	born := metav1.NewTime(noon.Add(-time.Hour))
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "till-1", Namespace: "project-shop", UID: "uid-1", CreationTimestamp: born, Labels: map[string]string{
			release.LabelProject: "shop", release.LabelService: "till", release.LabelRelease: "3", release.LabelManaged: "true"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "till", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
			Resources:      corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")}},
			ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromString("http")}}}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue,
			LastTransitionTime: metav1.NewTime(born.Add(time.Second))}}}}
	status := corev1.ContainerStatus{Name: "till", ContainerID: "run-1", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: born}}}
	if change != nil {
		change(p, &status)
	}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{status}
	return p
}

// ready says since when the pod is ready, or not.
func ready(p *corev1.Pod, is bool, ago time.Duration) {
	c := &p.Status.Conditions[0]
	if c.LastTransitionTime = metav1.NewTime(noon.Add(-ago)); !is {
		c.Status = corev1.ConditionFalse
	}
}

// ended says that the program ended so long ago, after a life.
func ended(reason string, code int32, ago, life time.Duration) *corev1.ContainerStateTerminated {
	end := noon.Add(-ago)
	return &corev1.ContainerStateTerminated{Reason: reason, ExitCode: code, ContainerID: "run-0", StartedAt: metav1.NewTime(end.Add(-life)), FinishedAt: metav1.NewTime(end)}
}

func runningSince(s *corev1.ContainerStatus, ago time.Duration) {
	s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(noon.Add(-ago))}}
}

func waits(s *corev1.ContainerStatus, reason string) {
	s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "told by the kubelet"}}
}

func TestTheStateOfAnInstance(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*corev1.Pod, *corev1.ContainerStatus)
		state  release.InstanceState
		steady bool
		words  string
	}{
		"ready": {nil, release.InstanceReady, true, ""},
		"crashed a while ago": {func(p *corev1.Pod, s *corev1.ContainerStatus) {
			s.RestartCount, s.LastTerminationState.Terminated = 1, ended("Error", 1, 20*time.Second, time.Minute)
			ready(p, true, 19*time.Second)
		}, release.InstanceReady, true, ""},
		"crashed just now": {func(p *corev1.Pod, s *corev1.ContainerStatus) {
			s.RestartCount, s.LastTerminationState.Terminated = 1, ended("Error", 1, 4*time.Second, time.Minute)
			ready(p, true, 3*time.Second)
		}, release.InstanceReady, false, "exit code 1"},
		"keeps crashing": {func(p *corev1.Pod, s *corev1.ContainerStatus) {
			s.RestartCount, s.LastTerminationState.Terminated = 2, ended("Error", 1, 50*time.Second, time.Minute)
			ready(p, true, 49*time.Second)
		}, release.InstanceReady, false, "started 3 times"},
		"crashes once a day": {func(p *corev1.Pod, s *corev1.ContainerStatus) {
			s.RestartCount, s.LastTerminationState.Terminated = 9, ended("Error", 1, 20*time.Second, 24*time.Hour)
			ready(p, true, 19*time.Second)
		}, release.InstanceReady, true, ""},
		"waits to be restarted": {func(p *corev1.Pod, s *corev1.ContainerStatus) {
			s.RestartCount, s.LastTerminationState.Terminated = 3, ended("Error", 2, 9*time.Second, 8*time.Second)
			waits(s, "CrashLoopBackOff")
			ready(p, false, 9*time.Second)
		}, release.InstanceRestarting, true, "exit code 2 (started 4 times)"},
		"has just ended": {func(p *corev1.Pod, s *corev1.ContainerStatus) {
			s.State = corev1.ContainerState{Terminated: ended("Completed", 0, time.Second, time.Minute)}
			ready(p, false, time.Second)
		}, release.InstanceRestarting, true, "ends by itself"},
		"runs again, not ready": {func(p *corev1.Pod, s *corev1.ContainerStatus) {
			s.RestartCount, s.LastTerminationState.Terminated = 1, ended("OOMKilled", 137, 2*time.Second, time.Minute)
			runningSince(s, time.Second)
			ready(p, false, 2*time.Second)
		}, release.InstanceRestarting, true, "more memory than the 512 MiB"},
		"stopped answering": {func(p *corev1.Pod, _ *corev1.ContainerStatus) { ready(p, false, 7*time.Second) }, release.InstanceUnready, true, "was not ready when its cluster asked it last"},
		"stopped after a crash": {func(p *corev1.Pod, s *corev1.ContainerStatus) {
			s.RestartCount, s.LastTerminationState.Terminated = 1, ended("Error", 1, time.Minute, time.Minute)
			runningSince(s, 50*time.Second)
			ready(p, false, 7*time.Second)
		}, release.InstanceUnready, true, "was not ready when its cluster asked it last"},
		"is being set up": {func(p *corev1.Pod, s *corev1.ContainerStatus) {
			waits(s, "ContainerCreating")
			ready(p, false, time.Hour)
		}, release.InstanceStarting, true, "being set up"},
		"starts": {func(p *corev1.Pod, s *corev1.ContainerStatus) {
			runningSince(s, time.Minute)
			ready(p, false, time.Hour)
		}, release.InstanceStarting, true, "not been seen ready yet"},
		"its image is gone": {func(p *corev1.Pod, s *corev1.ContainerStatus) { waits(s, "ErrImagePull"); ready(p, false, time.Hour) }, release.InstanceStarting, true, "cannot be pulled"},
		"filled its volume": {func(p *corev1.Pod, s *corev1.ContainerStatus) {
			p.Status.Phase, p.Status.Reason, p.Status.Message = corev1.PodFailed, "Evicted", "its volumes hold more than 1Gi"
			ready(p, false, 9*time.Second)
		}, release.InstanceRestarting, true, "volumes hold more"},
		"was asked to go": {func(p *corev1.Pod, s *corev1.ContainerStatus) {
			p.DeletionTimestamp = &metav1.Time{Time: noon}
			s.State = corev1.ContainerState{Terminated: ended("Error", 1, 0, time.Minute)}
		}, release.InstanceEnding, true, ""},
	} {
		one, _ := reported(release.Key{}, []*corev1.Pod{instance(c.change)}, noon)
		if len(one.Instances) != 1 {
			t.Errorf("%s: %+v", name, one)
			continue
		}
		i := one.Instances[0]
		if i.State != c.state || i.Unsteady == c.steady || !strings.Contains(i.Message, c.words) || c.words == "" && i.Message != "" || i.Release != 3 {
			t.Errorf("%s: %+v", name, i)
		}
	}
	gone := instance(func(p *corev1.Pod, _ *corev1.ContainerStatus) {
		p.Status.Phase = corev1.PodFailed
		ready(p, false, 2*time.Minute)
	})
	if i, there := stateOf(gone, noon); there {
		t.Errorf("a pod that was ended long ago counts: %+v", i)
	}
}

// site is a cluster whose logs and programs answer what a test says.
type site struct {
	Reporter
	pods  map[release.Key][]*corev1.Pod
	mu    sync.Mutex
	reads []string // logs, also of several pods at once
	said  string
	met   string
	now   time.Time
	late  bool // there is no time to try anything out
}

func newSite(pods ...*corev1.Pod) *site {
	s := &site{pods: map[release.Key][]*corev1.Pod{}, now: noon}
	for _, p := range pods {
		key := release.Key{Project: p.Labels[release.LabelProject], Name: p.Labels[release.LabelService]}
		s.pods[key] = append(s.pods[key], p)
	}
	s.Reporter = Reporter{Pods: func() map[release.Key][]*corev1.Pod { return s.pods }, Suspended: func() []string { return nil }, Now: func() time.Time { return s.now },
		Meets: func(context.Context, *corev1.Pod) (string, bool) { return s.met, !s.late },
		LastWords: func(_ context.Context, pod *corev1.Pod, previous bool) string {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.reads = append(s.reads, fmt.Sprintf("%s %t", pod.Name, previous))
			return s.said
		}}
	return s
}

func (s *site) first(t *testing.T) release.Instance {
	t.Helper()
	page := s.Page(t.Context(), release.Key{})
	if len(page.Services) == 0 || len(page.Services[0].Instances) == 0 {
		t.Fatalf("nothing is reported: %+v", page)
	}
	return page.Services[0].Instances[0]
}

func TestTheLastWordsOfACrashAreReadOnce(t *testing.T) {
	s := newSite(instance(func(p *corev1.Pod, c *corev1.ContainerStatus) {
		c.RestartCount, c.LastTerminationState.Terminated = 3, ended("Error", 1, 9*time.Second, 8*time.Second)
		waits(c, "CrashLoopBackOff")
		ready(p, false, 9*time.Second)
	}))
	if s.first(t).Said != "" {
		t.Error("said before it was written")
	}
	s.said = "lost the database"
	if s.now = s.now.Add(10 * time.Second); s.first(t).Said != "lost the database" {
		t.Error("what is written a moment later is not read")
	}
	for range 10 {
		if s.now = s.now.Add(10 * time.Second); s.first(t).Said != "lost the database" {
			t.Error("forgotten")
		}
	}
	if len(s.reads) != 2 || s.reads[0] != "till-1 true" {
		t.Errorf("read %q", s.reads)
	}
	// The next run's end has words of its own.
	s.pods[release.Key{Project: "shop", Name: "till"}][0].Status.ContainerStatuses[0].LastTerminationState.Terminated.ContainerID = "run-1"
	if s.said = "lost it again"; s.first(t).Said != "lost it again" {
		t.Error("the words of an earlier run are shown")
	}
}

func TestWhatRunsAndDoesNotAnswerIsTriedOut(t *testing.T) {
	for met, want := range map[string]string{
		"dial tcp 10.0.0.1:8080: connect: connection refused": "nothing answers on port 8080 any more",
		"HTTP probe failed with statuscode: 500":              "/healthz on port 8080 answers with status 500",
		"context deadline exceeded":                           "/healthz on port 8080 does not answer within 3 seconds",
	} {
		s := newSite(instance(func(p *corev1.Pod, _ *corev1.ContainerStatus) { ready(p, false, 7*time.Second) }))
		s.met, s.said = met, "busy"
		if i := s.first(t); i.State != release.InstanceUnready || !strings.HasPrefix(i.Message, want) || i.Said != "busy" || s.reads[0] != "till-1 false" {
			t.Errorf("%s: %+v, read %q", met, i, s.reads)
		}
	}
}

// What a probe met counts until it meets something else, be it an answer.
func TestAProgramThatAnswersAgainIsNotSaidToBeSilent(t *testing.T) {
	s := newSite(instance(func(p *corev1.Pod, _ *corev1.ContainerStatus) { ready(p, false, 7*time.Second) }))
	s.met = "dial tcp 10.0.0.1:8080: connect: connection refused"
	silent := s.first(t).Message
	if s.late, s.now = true, s.now.Add(10*time.Second); s.first(t).Message != silent {
		t.Errorf("without time to try it out: %s", s.first(t).Message)
	}
	s.late, s.met, s.now = false, "", s.now.Add(10*time.Second)
	if i := s.first(t); strings.Contains(i.Message, "nothing answers") {
		t.Errorf("it answers, and is said to be silent: %s", i.Message)
	}
}

// When everything is wrong at once, a page still is within what is read of it, and all instances have last words.
func TestARegionInTroubleIsReportedWhole(t *testing.T) {
	var pods []*corev1.Pod
	for n := range 600 {
		pods = append(pods, instance(func(p *corev1.Pod, c *corev1.ContainerStatus) {
			p.Labels[release.LabelService] = fmt.Sprintf("s%03d", n/3)
			p.Name, p.UID = fmt.Sprintf("s%03d-%d", n/3, n), types.UID(fmt.Sprint(n))
			c.RestartCount, c.LastTerminationState.Terminated = 3, ended("Error", 1, 9*time.Second, 8*time.Second)
			waits(c, "CrashLoopBackOff")
			ready(p, false, 9*time.Second)
		}))
	}
	s, said := newSite(pods...), 0
	s.LastWords = func(context.Context, *corev1.Pod, bool) string { return strings.Repeat("<>", 2000) + "its end" }
	for after, more := (release.Key{}), true; more; {
		page := s.Page(t.Context(), after)
		if text, err := json.Marshal(page); err != nil || len(text) > 4<<20 {
			t.Errorf("a page of %d bytes, %v", len(text), err)
		}
		for _, one := range page.Services {
			for _, i := range one.Instances {
				if strings.HasSuffix(i.Said, "its end") {
					said++
				}
			}
		}
		after.Project, after.Name, more = strings.Cut(page.Next, "/")
	}
	if said != 600 {
		t.Errorf("%d of 600 instances have last words", said)
	}
}

// A healthy region costs no calls, and its report comes in pages.
func TestALargeRegionIsReportedInPages(t *testing.T) {
	var pods []*corev1.Pod
	for n := range 450 {
		pods = append(pods, instance(func(p *corev1.Pod, _ *corev1.ContainerStatus) {
			p.Labels[release.LabelService] = fmt.Sprintf("s%03d", n)
			p.UID = types.UID(fmt.Sprint(n))
		}))
	}
	s, found := newSite(pods...), 0
	var after release.Key
	for range 3 {
		page := s.Page(t.Context(), after)
		found += len(page.Services)
		after.Project, after.Name, _ = strings.Cut(page.Next, "/")
	}
	if found != 450 || after.Project != "" || len(s.reads) > 0 {
		t.Errorf("%d services, then %q; read %q", found, after, s.reads)
	}
}

func TestThoseThatAreNotWellComeFirst(t *testing.T) {
	var pods []*corev1.Pod
	for n := range 100 {
		pods = append(pods, instance(func(p *corev1.Pod, _ *corev1.ContainerStatus) {
			p.Name, p.UID = fmt.Sprintf("till-%03d", n), types.UID(fmt.Sprint(n))
			if n > 90 {
				ready(p, false, 7*time.Second)
			}
		}))
	}
	s := newSite(pods...)
	s.met = "context deadline exceeded"
	one := s.Page(t.Context(), release.Key{}).Services[0]
	if len(one.Instances) != perService || one.Left != 40 || one.Instances[8].State != release.InstanceUnready || one.Instances[9].State != release.InstanceReady {
		t.Errorf("%d listed, %d left", len(one.Instances), one.Left)
	}
	if len(s.reads) != perServiceSay {
		t.Errorf("%d logs are read", len(s.reads))
	}
}

func TestAPodThatFilledItsVolumeHasLastWords(t *testing.T) {
	s := newSite(instance(func(p *corev1.Pod, c *corev1.ContainerStatus) {
		p.Status.Phase, p.Status.Reason, p.Status.Message = corev1.PodFailed, "Evicted", "its volumes hold more than 1Gi"
		c.State = corev1.ContainerState{Terminated: ended("Error", 137, 9*time.Second, time.Minute)}
		c.State.Terminated.Message = "writes a lot\n"
		ready(p, false, 9*time.Second)
	}))
	if i := s.first(t); i.State != release.InstanceRestarting || i.Said != "writes a lot" { // its log is gone
		t.Errorf("%+v", i)
	}
	s.now = s.now.Add(20 * time.Second)
	if page := s.Page(t.Context(), release.Key{}); len(page.Services[0].Instances) != 0 {
		t.Errorf("it counts for ever: %+v", page)
	}
}
