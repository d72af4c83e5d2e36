package cluster_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

// hello is a release of a service in a project of the test's own.
func hello(project string, number int) release.Release {
	return release.Release{Service: release.Key{Project: project, Name: "hello"}, Number: number,
		Image: "registry.example/hello@sha256:" + strings.Repeat(fmt.Sprint(number%10), 64),
		Spec:  release.Spec{Access: release.Public, Port: 9090, Replicas: 2, Env: map[string]string{"GREETING": "costs $5 $(HOME) $$", "M3O_REGION": "elsewhere"}, Args: []string{"-v", "$(PORT)"}}}
}

func applyService(t *testing.T, r release.Release) *appsv1.Deployment {
	t.Helper()
	if err := client.ApplyService(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	d, err := admin.AppsV1().Deployments(release.Namespace(r.Service.Project)).Get(t.Context(), r.Service.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func podsOf(t *testing.T, key release.Key, number int) []corev1.Pod {
	t.Helper()
	pods, err := admin.CoreV1().Pods(release.Namespace(key.Project)).List(t.Context(), metav1.ListOptions{
		LabelSelector: fmt.Sprintf("%s=%s,%s=%d", release.LabelService, key.Name, release.LabelRelease, number)})
	if err != nil {
		t.Fatal(err)
	}
	return pods.Items
}

// awaitPods waits until the release's pods are made, which says that quota and Pod Security let them in.
func awaitPods(t *testing.T, key release.Key, number, count int) []corev1.Pod {
	t.Helper()
	var pods []corev1.Pod
	eventually(t, "pods of "+key.String(), func() (bool, string) {
		pods = podsOf(t, key, number)
		return len(pods) == count, fmt.Sprintf("%d pods; %s", len(pods), strings.Join(refusals(t), "; "))
	})
	return pods
}

func TestServiceIsAppliedAsTheReleaseSays(t *testing.T) {
	r := hello("applied", 1)
	d := applyService(t, r)
	pods := awaitPods(t, r.Service, 1, 2)
	container := pods[0].Spec.Containers[0]
	settings := map[string]string{}
	for _, e := range container.Env {
		settings[e.Name] = e.Value
	}
	want := map[string]string{"PORT": "9090", "GREETING": "costs $$5 $$(HOME) $$$$", "M3O_REGION": "elsewhere", "M3O_PROJECT": "applied",
		"M3O_SERVICE": "hello", "M3O_RELEASE": "1", "M3O_PLATFORM": "micro"}
	if !maps.Equal(settings, want) {
		t.Errorf("settings %v, want %v", settings, want)
	}
	if !slices.Equal(container.Args, []string{"-v", "$$(PORT)"}) {
		t.Errorf("arguments %q", container.Args)
	}
	if p := container.ReadinessProbe; p.TCPSocket == nil || container.LivenessProbe != nil {
		t.Errorf("readiness %+v, liveness %+v", p, container.LivenessProbe)
	}
	if d.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue() != 0 || container.Lifecycle.PreStop.Sleep == nil {
		t.Error("a roll could lose requests")
	}
	s, err := admin.CoreV1().Services("project-applied").Get(t.Context(), "hello", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Labels[release.LabelManaged] != "true" || s.Labels[release.LabelAccess] != "public" || pods[0].Annotations[release.LabelAccess] != "public" || s.Spec.Ports[0].Port != 80 {
		t.Errorf("service %+v", s)
	}
	if _, err := admin.PolicyV1().PodDisruptionBudgets("project-applied").Get(t.Context(), "hello", metav1.GetOptions{}); err != nil {
		t.Errorf("two instances have a budget: %v", err)
	}
}

// TestPodsSayWhatTheirReleaseAsksOfGateways, and nothing of what it does not ask.
func TestPodsSayWhatTheirReleaseAsksOfGateways(t *testing.T) {
	r := hello("asking", 1)
	plain := applyService(t, r).Spec.Template.Annotations
	if want := map[string]string{release.LabelAccess: "public"}; !maps.Equal(plain, want) {
		t.Errorf("annotations %v, want %v", plain, want)
	}
	r.Number, r.Spec.Access, r.Spec.Preflight, r.Spec.Protocol = 2, release.ByKey, release.Public, release.H2C
	r.Spec.Timeout, r.Spec.MaxBody = release.Duration(15*time.Minute), 150<<20
	d := applyService(t, r)
	want := map[string]string{release.LabelAccess: "key", release.LabelPreflight: "public", release.MarkProtocol: "h2c",
		release.MarkTimeout: "15m", release.MarkMaxBody: "157286400"}
	if got := d.Spec.Template.Annotations; !maps.Equal(got, want) {
		t.Errorf("annotations %v, want %v", got, want)
	}
	s, err := admin.CoreV1().Services("project-asking").Get(t.Context(), "hello", metav1.GetOptions{})
	if err != nil || s.Labels[release.LabelPreflight] != "public" {
		t.Errorf("service %+v, %v", s.Labels, err)
	}
	r.Number, r.Spec = 3, release.Spec{Access: release.Public, Port: 9090, Replicas: 1, Health: "/up"}
	d = applyService(t, r)
	if h := d.Spec.Template.Spec.Containers[0].ReadinessProbe.HTTPGet.HTTPHeaders; len(h) != 1 || h[0].Name != "X-Forwarded-Proto" || h[0].Value != "https" {
		t.Errorf("a program that sends callers to https is asked for its health with %v", h)
	}
}

// How long a program may take to start is the release's to say; what speaks HTTP/2 alone is not asked for its health by kubelets, which
// do not.
func TestServiceMayTakeItsTimeToStart(t *testing.T) {
	r := hello("slow", 1)
	if d := applyService(t, r); *d.Spec.ProgressDeadlineSeconds != 120 {
		t.Errorf("it fails after %d s by default", *d.Spec.ProgressDeadlineSeconds)
	}
	r.Spec.Start, r.Spec.Protocol, r.Spec.Health = release.Duration(10*time.Minute), release.H2C, "/healthz"
	d := applyService(t, r)
	if *d.Spec.ProgressDeadlineSeconds != 600 {
		t.Errorf("it fails after %d s, not after 10 minutes", *d.Spec.ProgressDeadlineSeconds)
	}
	if p := d.Spec.Template.Spec.Containers[0].ReadinessProbe; p.TCPSocket == nil || p.HTTPGet != nil {
		t.Errorf("a kubelet asks %+v", p.ProbeHandler)
	}
}

// Another release rolls the same Deployment; one that has its health path, one instance and a system port drops what the
// first had.
func TestServiceIsRolledToAnotherRelease(t *testing.T) {
	first := hello("rolled", 1)
	before := applyService(t, first)
	awaitPods(t, first.Service, 1, 2)
	second := hello("rolled", 2)
	second.Spec = release.Spec{Access: release.ByKey, Port: 80, Replicas: 1, Health: "/healthz"}
	after := applyService(t, second)
	if before.UID != after.UID || after.Generation == before.Generation {
		t.Error("the Deployment was not rolled, but made anew or left alone")
	}
	container := after.Spec.Template.Spec.Containers[0]
	if len(after.Spec.Template.Spec.Containers) != 1 || len(container.Ports) != 1 || container.ReadinessProbe.TCPSocket != nil || container.ReadinessProbe.HTTPGet.Path != "/healthz" {
		t.Errorf("the container keeps something of the first release: %+v", container)
	}
	if slices.ContainsFunc(container.Env, func(e corev1.EnvVar) bool { return e.Name == "GREETING" }) {
		t.Error("a setting of the first release is left")
	}
	awaitPods(t, second.Service, 2, 1)
	eventually(t, "the budget of two is gone", func() (bool, string) {
		_, err := admin.PolicyV1().PodDisruptionBudgets("project-rolled").Get(t.Context(), "hello", metav1.GetOptions{})
		return apierrors.IsNotFound(err), fmt.Sprint(err)
	})
	state, err := client.ServiceState(t.Context(), first.Service, 1)
	if err != nil || !state.Failed || !strings.Contains(state.Reason, "release 2 was applied over it") {
		t.Errorf("the first release: %+v, %v", state, err)
	}
}

func TestServiceAppliedTwiceDoesNotChange(t *testing.T) {
	r := hello("twice", 1)
	before := applyService(t, r)
	after := applyService(t, r)
	if before.Generation != after.Generation || len(podsOf(t, r.Service, 1)) > 2 {
		t.Errorf("generation %d, then %d", before.Generation, after.Generation)
	}
}

// What kubectl's users change of what we said is taken back; what we said nothing of is theirs.
func TestServiceTakesBackWhatIsOurs(t *testing.T) {
	r := hello("taken", 1)
	d := applyService(t, r)
	change := []byte(`{"metadata":{"annotations":{"theirs":"stays"}},"spec":{"replicas":0}}`)
	if _, err := admin.AppsV1().Deployments(d.Namespace).Patch(t.Context(), d.Name, types.MergePatchType, change, metav1.PatchOptions{FieldManager: "kubectl"}); err != nil {
		t.Fatal(err)
	}
	after := applyService(t, r)
	if *after.Spec.Replicas != 2 || after.Annotations["theirs"] != "stays" {
		t.Errorf("replicas %d, annotations %v", *after.Spec.Replicas, after.Annotations)
	}
}

// A Deployment of somebody else under the service's name is left as it is, and the fault says that it is there.
func TestServiceOfSomebodyElseIsNotTaken(t *testing.T) {
	r := hello("foreign", 1)
	applyService(t, release.Release{Service: release.Key{Project: "foreign", Name: "other"}, Number: 1, Image: r.Image, Spec: r.Spec})
	pods := map[string]string{release.LabelProject: "foreign", release.LabelService: "hello"}
	theirs := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "hello"}, Spec: appsv1.DeploymentSpec{
		Replicas: new(int32(7)), Selector: &metav1.LabelSelector{MatchLabels: pods},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: pods}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "hello", Image: "theirs"}}}}}}
	deployments := admin.AppsV1().Deployments("project-foreign")
	if _, err := deployments.Create(t.Context(), theirs, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	err := client.ApplyService(t.Context(), r)
	if !fault.Is(err, fault.Exists) || !strings.Contains(fault.Message(err), "deployment project-foreign/hello") {
		t.Errorf("got %v", err)
	}
	live, err := deployments.Get(t.Context(), "hello", metav1.GetOptions{})
	if err != nil || *live.Spec.Replicas != 7 {
		t.Errorf("their Deployment was changed: %+v, %v", live.Spec, err)
	}
	if err := client.DeleteService(t.Context(), r.Service); err != nil {
		t.Fatal(err)
	}
	if _, err := deployments.Get(t.Context(), "hello", metav1.GetOptions{}); err != nil {
		t.Errorf("their Deployment was removed: %v", err)
	}
}

func TestServiceIsDeletedAndItsNeighbourStays(t *testing.T) {
	r := hello("deleted", 1)
	neighbour := r
	neighbour.Service.Name = "neighbour"
	applyService(t, r)
	applyService(t, neighbour)
	awaitPods(t, r.Service, 1, 2)
	if gone, err := client.ServiceGone(t.Context(), r.Service); gone || err != nil {
		t.Fatalf("gone %v, %v before it was deleted", gone, err)
	}
	eventually(t, "the service is gone", func() (bool, string) {
		if err := client.DeleteService(t.Context(), r.Service); err != nil {
			t.Fatal(err)
		}
		gone, err := client.ServiceGone(t.Context(), r.Service)
		return gone && err == nil, fmt.Sprint(err)
	})
	if _, err := client.ServiceState(t.Context(), r.Service, 1); !fault.Is(err, fault.NotFound) {
		t.Errorf("the state of a service that is gone: %v", err)
	}
	if state, err := client.ServiceState(t.Context(), neighbour.Service, 1); err != nil || state.Desired != 2 {
		t.Errorf("the neighbour: %+v, %v", state, err)
	}
	applyAgain(t, r)
}

// applyAgain is the life after death: a service that was removed can be made anew.
func applyAgain(t *testing.T, r release.Release) {
	t.Helper()
	eventually(t, "the service is made again", func() (bool, string) {
		err := client.ApplyService(t.Context(), r)
		if err != nil && !fault.Is(err, fault.Unavailable) {
			t.Fatal(err)
		}
		return err == nil, fmt.Sprint(err)
	})
}

// A service that is deployed again while its old Deployment is still going is not lost with it.
func TestServiceBeingRemovedIsNotApplied(t *testing.T) {
	r := hello("going", 1)
	applyService(t, r)
	deployments := admin.AppsV1().Deployments("project-going")
	hold := func(patch string) error {
		_, err := deployments.Patch(t.Context(), "hello", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		return err
	}
	if err := hold(`{"metadata":{"finalizers":["m3o.dev/test"]}}`); err != nil {
		t.Fatal(err)
	}
	if err := client.DeleteService(t.Context(), r.Service); err != nil {
		t.Fatal(err)
	}
	err := client.ApplyService(t.Context(), r)
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.Message(err), "is being removed") {
		t.Errorf("got %v", err)
	}
	if err := hold(`{"metadata":{"finalizers":null}}`); err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	applyAgain(t, r)
}
