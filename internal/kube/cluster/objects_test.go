package cluster_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func selector(app string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

func (w *world) template(app, version string) corev1.PodTemplateSpec {
	grace := int64(10)
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: &grace,
			Containers: []corev1.Container{{
				// The directory tells this cluster's processes from others'.
				Name: "app", Image: w.image, Args: []string{"in", w.dir},
				Env:   []corev1.EnvVar{{Name: "VERSION", Value: version}},
				Ports: []corev1.ContainerPort{{ContainerPort: 8080}},
				ReadinessProbe: &corev1.Probe{
					PeriodSeconds: 1,
					ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromInt32(8080)}},
				},
			}},
		},
	}
}

func (w *world) deployment(app string, replicas int32, version string) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: app, Namespace: namespace},
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas, Selector: selector(app), Template: w.template(app, version)},
	}
}

// service leads port 80 to the pods of the app; "front" is another way to "web", on
// a port of the machine that does not take root.
func (w *world) service(name string, kind corev1.ServiceType) *corev1.Service {
	app, port := name, int32(80)
	if name == "front" {
		app, port = "web", 8000
	}
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: corev1.ServiceSpec{
			Type: kind, Selector: map[string]string{"app": app},
			Ports: []corev1.ServicePort{{Port: port, TargetPort: intstr.FromInt32(8080)}},
		},
	}
}

func (w *world) create(t *testing.T, object runtime.Object) runtime.Object {
	t.Helper()
	var made runtime.Object
	var err error
	switch o := object.(type) {
	case *appsv1.Deployment:
		made, err = w.client.AppsV1().Deployments(namespace).Create(t.Context(), o, metav1.CreateOptions{})
	case *appsv1.StatefulSet:
		made, err = w.client.AppsV1().StatefulSets(namespace).Create(t.Context(), o, metav1.CreateOptions{})
	case *corev1.Service:
		made, err = w.client.CoreV1().Services(namespace).Create(t.Context(), o, metav1.CreateOptions{})
	case *corev1.Secret:
		made, err = w.client.CoreV1().Secrets(namespace).Create(t.Context(), o, metav1.CreateOptions{})
	case *corev1.PersistentVolumeClaim:
		made, err = w.client.CoreV1().PersistentVolumeClaims(namespace).Create(t.Context(), o, metav1.CreateOptions{})
	default:
		t.Fatalf("cannot create a %T", object)
	}
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func (w *world) waitRollout(t *testing.T, app string, replicas int32) {
	t.Helper()
	eventually(t, soon, func() error {
		d, err := w.client.AppsV1().Deployments(namespace).Get(t.Context(), app, metav1.GetOptions{})
		if err != nil {
			return err
		}
		s := d.Status
		if s.ObservedGeneration < d.Generation || s.UpdatedReplicas != replicas || s.AvailableReplicas != replicas || s.Replicas != replicas {
			return fmt.Errorf("deployment %s: %+v\n%s", app, s, w.explain(t.Context(), app))
		}
		return nil
	})
}

// explain says what the pods of the app wait for.
func (w *world) explain(ctx context.Context, app string) string {
	pods, err := w.pods(ctx, app)
	if err != nil {
		return err.Error()
	}
	var text strings.Builder
	for _, pod := range pods {
		fmt.Fprintf(&text, "%s on %s: %s %+v\n", pod.Name, pod.Spec.NodeName, pod.Status.Phase, pod.Status.ContainerStatuses)
	}
	events, err := w.client.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	for _, event := range events.Items {
		if event.Type == corev1.EventTypeWarning {
			fmt.Fprintf(&text, "%s: %s\n", event.InvolvedObject.Name, event.Message)
		}
	}
	return text.String()
}

func (w *world) pods(ctx context.Context, app string) ([]corev1.Pod, error) {
	list, err := w.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + app})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// pod names a ready pod of the app.
func (w *world) pod(t *testing.T, app string) string {
	t.Helper()
	var name string
	eventually(t, soon, func() error {
		var err error
		name, err = w.readyPod(t.Context(), app)
		return err
	})
	return name
}

func (w *world) readyPod(ctx context.Context, app string) (string, error) {
	pods, err := w.pods(ctx, app)
	if err != nil {
		return "", err
	}
	for _, pod := range pods {
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil {
				return pod.Name, nil
			}
		}
	}
	return "", fmt.Errorf("no pod of %s is ready\n%s", app, w.explain(ctx, app))
}

func (w *world) waitRunning(t *testing.T, app string) string {
	t.Helper()
	var name string
	eventually(t, soon, func() error {
		pods, err := w.pods(t.Context(), app)
		if err != nil {
			return err
		}
		for _, pod := range pods {
			if pod.Status.Phase == corev1.PodRunning {
				name = pod.Name
				return nil
			}
		}
		return fmt.Errorf("no pod of %s runs\n%s", app, w.explain(t.Context(), app))
	})
	return name
}

// ask sends a request to a ready pod of the app, through the API server.
func (w *world) ask(ctx context.Context, app, path string) (string, error) {
	pod, err := w.readyPod(ctx, app)
	if err != nil {
		return "", err
	}
	return w.request(ctx, http.MethodGet, pod, path)
}

func (w *world) post(ctx context.Context, pod, path string) (string, error) {
	return w.request(ctx, http.MethodPost, pod, path)
}

func (w *world) request(ctx context.Context, method, pod, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	target, err := url.Parse(path)
	if err != nil {
		return "", err
	}
	request := w.client.CoreV1().RESTClient().Verb(method).
		Resource("pods").Namespace(namespace).Name(pod + ":8080").SubResource("proxy").Suffix(target.Path)
	for key, values := range target.Query() {
		request.Param(key, values[0])
	}
	data, err := request.DoRaw(ctx)
	return string(data), err
}

// expectFromPod asks target from inside of a pod until the answer has want in it.
func (w *world) expectFromPod(t *testing.T, app, target, want string) {
	t.Helper()
	eventually(t, soon, func() error {
		body, err := w.ask(t.Context(), app, "/get?url="+url.QueryEscape(target))
		if err == nil && !strings.Contains(body, want) {
			err = fmt.Errorf("%s answered %q, not %q", target, body, want)
		}
		return err
	})
}

func (w *world) loadBalancer(ctx context.Context, name string) (string, error) {
	service, err := w.client.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		return net.JoinHostPort(ingress.IP, "8000"), nil
	}
	return "", fmt.Errorf("service %s has no address", name)
}

func fetch(ctx context.Context, client *http.Client, target string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return string(body), err
}
