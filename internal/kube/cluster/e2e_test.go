package cluster_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/m3o/platform/internal/kube/cluster"
)

const namespace = "default"

// world is a cluster with the app's image, as a test's steps share it.
type world struct {
	*process
	// whole is the test that the steps are of: what it starts ends with it.
	whole  *testing.T
	client *kubernetes.Clientset
	config *rest.Config
	image  string
	spec   cluster.Spec
}

// TestCluster is a cluster's life: what pods, services, volumes and nodes do, and
// what is there again after a kill. All of it is in a deep directory.
func TestCluster(t *testing.T) {
	t.Parallel()
	dir := deepDir(t)
	spec := cluster.Spec{
		Name: "lon1", Version: "1.35", LoadBalancerCIDR: "127.18.4.0/28",
		Nodes: []cluster.NodeSpec{member("node-a"), member("node-b")},
	}
	w := &world{whole: t, image: pushApp(t), spec: spec}
	w.spec.OpenPorts = []uint16{w.registryPort(t)}
	writeSpec(t, dir, w.spec)
	w.process = start(t, dir)
	w.waitReady(t, "node-a", "node-b")
	w.client, w.config = w.process.client(t), w.process.config(t)
	for _, step := range []struct {
		name string
		do   func(*testing.T, *world)
	}{
		{"nodes are as ordered", nodesAsOrdered},
		{"one process per directory", oneProcess},
		{"a deployment rolls out", deploymentRollsOut},
		{"services answer inside", servicesAnswerInside},
		{"names of a stateful set", namesOfStatefulSet},
		{"a load balancer answers on the machine", loadBalancerAnswers},
		{"logs, exec and port-forward", logsExecPortForward},
		{"a node's figures", figuresOfNode},
		{"readiness decides who is behind a service", readinessDecides},
		{"a pod of another user gets its files", otherUserGetsFiles},
		{"pods are nobody on the machine", podsAreNobody},
		{"a container that outgrows its memory is started again", memoryOutgrowsLimit},
		{"a volume that outgrows its limit ends its pod", volumeOutgrowsLimit},
		{"a rolling update loses no request", rollingUpdateLosesNothing},
		{"a node that dies comes back", nodeComesBack},
		{"a volume survives pods and a kill of everything", volumeSurvives},
		{"nodes come and go", nodesComeAndGo},
		{"another version starts the cluster again", otherVersion},
		{"it stops when told", stopsWhenTold},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.do(t, w) }) {
			return
		}
	}
}

func member(name string) cluster.NodeSpec {
	return cluster.NodeSpec{
		Name: name, Pool: "pool", CPU: 3, MemoryMiB: 3000, Labels: map[string]string{"example.com/pool": "pool"},
	}
}

func nodesAsOrdered(t *testing.T, w *world) {
	node, err := w.client.CoreV1().Nodes().Get(t.Context(), "node-a", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if cpu, memory := node.Status.Capacity.Cpu().Value(), node.Status.Capacity.Memory().Value(); cpu != 3 || memory != 3000<<20 {
		t.Errorf("capacity is %d CPUs and %d bytes", cpu, memory)
	}
	for key, value := range map[string]string{
		"kubernetes.io/hostname": "node-a", "topology.kubernetes.io/region": "lon1",
		"example.com/pool": "pool", "node.kubernetes.io/instance-type": "m3o-3vcpu-3000mib",
	} {
		if node.Labels[key] != value {
			t.Errorf("label %s is %q, not %q", key, node.Labels[key], value)
		}
	}
	version, err := w.client.Discovery().ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	if version.GitVersion != "v1.35.0" || node.Status.NodeInfo.KubeletVersion != "v1.35.0" {
		t.Errorf("server presents %s, kubelet %s", version.GitVersion, node.Status.NodeInfo.KubeletVersion)
	}
	eventually(t, soon, func() error {
		node, err := w.client.CoreV1().Nodes().Get(t.Context(), "node-a", metav1.GetOptions{})
		if err == nil && node.Annotations["m3o.dev/enforces-limits"] != "memory" {
			err = fmt.Errorf("annotations are %v", node.Annotations)
		}
		return err
	})
}

func oneProcess(t *testing.T, w *world) {
	second := start(t, w.dir)
	if err := second.wait(t, soon); err == nil || !strings.Contains(second.log.String(), "another m3o-kube") {
		t.Fatalf("a second process ended with %v:\n%s", err, second.log.String())
	}
	if status, err := w.status(); err != nil || !status.Ready {
		t.Fatalf("the first is hurt: %+v %v", status, err)
	}
}

func deploymentRollsOut(t *testing.T, w *world) {
	begin := time.Now()
	w.create(t, w.deployment("web", 2, "one"))
	w.waitRollout(t, "web", 2)
	t.Logf("rolled out in %s", time.Since(begin))
	begin = time.Now()
	w.create(t, w.deployment("client", 1, "one"))
	w.waitRollout(t, "client", 1)
	t.Logf("another, image there, in %s", time.Since(begin))
}

func servicesAnswerInside(t *testing.T, w *world) {
	service := w.create(t, w.service("web", corev1.ServiceTypeClusterIP)).(*corev1.Service)
	for _, host := range []string{service.Spec.ClusterIP, "web", "web.default.svc.cluster.local"} {
		w.expectFromPod(t, "client", "http://"+host, " one")
	}
	// Only an account of the cluster may see /apis.
	if status, err := w.ask(t.Context(), "client", "/kubernetes"); err != nil || status != "200 OK" {
		t.Errorf("the API server answered a pod %q, %v", status, err)
	}
	// The machine's loopback is there for pods under a name, where it was opened.
	w.expectFromPod(t, "client", fmt.Sprintf("http://host.m3o.internal:%d/v2/app/tags/list", w.registryPort(t)), `"tags":["1"]`)
	secret := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a pod reached a port that nobody opened") }))
	defer secret.Close()
	_, port, _ := strings.Cut(secret.Listener.Addr().String(), ":")
	if got, err := w.ask(t.Context(), "client", "/get?url="+url.QueryEscape("http://host.m3o.internal:"+port)); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a port that nobody opened answered %q, %v", got, err)
	}
}

func namesOfStatefulSet(t *testing.T, w *world) {
	headless := w.service("db", corev1.ServiceTypeClusterIP)
	headless.Spec.ClusterIP = corev1.ClusterIPNone
	w.create(t, headless)
	replicas := int32(2)
	w.create(t, &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: namespace},
		Spec: appsv1.StatefulSetSpec{
			ServiceName: "db", Replicas: &replicas, Selector: selector("db"), Template: w.template("db", "one"),
		},
	})
	for _, pod := range []string{"db-0", "db-1"} {
		w.expectFromPod(t, "client", "http://"+pod+".db:8080/", pod+" one")
	}
	eventually(t, soon, func() error {
		addresses, err := w.ask(t.Context(), "client", "/lookup?name=db.default.svc.cluster.local")
		if err == nil && len(strings.Fields(addresses)) != 2 {
			err = fmt.Errorf("db has the addresses %q", addresses)
		}
		return err
	})
}

func loadBalancerAnswers(t *testing.T, w *world) {
	w.create(t, w.service("front", corev1.ServiceTypeLoadBalancer))
	eventually(t, soon, func() error {
		address, err := w.loadBalancer(t.Context(), "front")
		if err != nil {
			return err
		}
		body, err := fetch(t.Context(), http.DefaultClient, "http://"+address+"/")
		if err == nil && !strings.HasSuffix(body, " one") {
			err = fmt.Errorf("answered %q", body)
		}
		return err
	})
}

func logsExecPortForward(t *testing.T, w *world) {
	pod := w.pod(t, "web")
	eventually(t, soon, func() error {
		data, err := w.client.CoreV1().Pods(namespace).GetLogs(pod, &corev1.PodLogOptions{}).DoRaw(t.Context())
		if err == nil && !strings.Contains(string(data), "listening as "+pod) {
			err = fmt.Errorf("the log is %q", data)
		}
		return err
	})
	output, err := w.exec(t.Context(), pod, "/app", "echo", "hello", "there")
	if err != nil || output != "hello there\n" {
		t.Fatalf("exec answered %q, %v", output, err)
	}
	if _, err := w.exec(t.Context(), pod, "/no-such-program"); err == nil {
		t.Fatal("exec of a program that is not there worked")
	}
	w.forward(t, pod)
}

// figuresOfNode are what a metrics server would collect.
func figuresOfNode(t *testing.T, w *world) {
	eventually(t, soon, func() error {
		data, err := w.client.CoreV1().RESTClient().Get().
			Resource("nodes").Name("node-a").SubResource("proxy").Suffix("stats/summary").DoRaw(t.Context())
		if err != nil {
			return err
		}
		var summary stats.Summary
		if err := json.Unmarshal(data, &summary); err != nil {
			return err
		}
		if summary.Node.Fs == nil || *summary.Node.Fs.CapacityBytes == 0 || len(summary.Pods) == 0 {
			return fmt.Errorf("the summary is %s", data)
		}
		for _, pod := range summary.Pods {
			if pod.Memory == nil || pod.Memory.WorkingSetBytes == nil || *pod.Memory.WorkingSetBytes == 0 {
				return fmt.Errorf("pod %s has no memory: %s", pod.PodRef.Name, data)
			}
		}
		return nil
	})
}

func readinessDecides(t *testing.T, w *world) {
	late := w.deployment("late", 1, "one")
	late.Spec.Template.Spec.Containers[0].Env = append(late.Spec.Template.Spec.Containers[0].Env,
		corev1.EnvVar{Name: "NOT_READY", Value: "yes"})
	w.create(t, late)
	w.create(t, w.service("late", corev1.ServiceTypeClusterIP))
	pod := w.waitRunning(t, "late")
	time.Sleep(2 * time.Second)
	if _, err := w.ask(t.Context(), "client", "/get?url="+url.QueryEscape("http://late")); err == nil {
		t.Fatal("a pod that is not ready got a request")
	}
	if _, err := w.post(t.Context(), pod, "/ready"); err != nil {
		t.Fatal(err)
	}
	w.expectFromPod(t, "client", "http://late", " one")
}

// otherUserGetsFiles runs a pod as restricted namespaces demand it.
func otherUserGetsFiles(t *testing.T, w *world) {
	w.create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "key", Namespace: namespace}, StringData: map[string]string{"key": "value"}})
	user, group, yes, no := int64(1000), int64(2000), true, false
	deployment := w.deployment("other", 1, "one")
	pod := &deployment.Spec.Template.Spec
	pod.SecurityContext = &corev1.PodSecurityContext{
		RunAsUser: &user, RunAsNonRoot: &yes, FSGroup: &group,
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	pod.Volumes = []corev1.Volume{
		{Name: "key", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "key"}}},
		{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}
	container := &pod.Containers[0]
	container.SecurityContext = &corev1.SecurityContext{
		AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
	container.VolumeMounts = []corev1.VolumeMount{{Name: "key", MountPath: "/key"}, {Name: "scratch", MountPath: "/scratch"}}
	w.create(t, deployment)
	w.waitRollout(t, "other", 1)
	for path, want := range map[string]string{
		"/read?path=/key/key": "value",
		"/read?path=/var/run/secrets/kubernetes.io/serviceaccount/namespace": namespace,
	} {
		if got, err := w.ask(t.Context(), "other", path); err != nil || got != want {
			t.Errorf("%s answered %q, %v", path, got, err)
		}
	}
	if _, err := w.ask(t.Context(), "other", "/write?path=/scratch/x&data=y"); err != nil {
		t.Error(err)
	}
	if _, err := w.ask(t.Context(), "other", "/write?path=/x&data=y"); err == nil {
		t.Error("the read-only root file system was written to")
	}
}

func rollingUpdateLosesNothing(t *testing.T, w *world) {
	address, err := w.loadBalancer(t.Context(), "front")
	if err != nil {
		t.Fatal(err)
	}
	// The load balancer's service selects the deployment's pods.
	ctx, stop := context.WithCancel(t.Context())
	var asked, lost atomic.Int64
	done := make(chan error, 1)
	go func() {
		client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		var first error
		for ctx.Err() == nil {
			asked.Add(1)
			if _, err := fetch(context.WithoutCancel(ctx), client, "http://"+address+"/"); err != nil {
				lost.Add(1)
				first = errors.Join(first, err)
			}
			time.Sleep(5 * time.Millisecond)
		}
		done <- first
	}()
	begin := time.Now()
	deployment, err := w.client.AppsV1().Deployments(namespace).Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	deployment.Spec.Template = w.template("web", "two")
	if _, err := w.client.AppsV1().Deployments(namespace).Update(t.Context(), deployment, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.waitRollout(t, "web", 2)
	t.Logf("updated in %s", time.Since(begin))
	time.Sleep(2 * time.Second)
	stop()
	if err := <-done; lost.Load() > 0 {
		t.Errorf("%d of %d requests were lost: %v", lost.Load(), asked.Load(), err)
	}
	t.Logf("%d requests answered", asked.Load())
	w.expectFromPod(t, "client", "http://web", " two")
}

func nodesComeAndGo(t *testing.T, w *world) {
	w.spec.Nodes = append(w.spec.Nodes, member("node-c"))
	writeSpec(t, w.dir, w.spec)
	w.waitReady(t, "node-a", "node-b", "node-c")
	w.spec.Nodes = []cluster.NodeSpec{member("node-b"), member("node-c")}
	w.spec.Nodes[1].Labels["example.com/new"] = "yes"
	writeSpec(t, w.dir, w.spec)
	w.waitReady(t, "node-b", "node-c")
	eventually(t, soon, func() error {
		_, err := w.client.CoreV1().Nodes().Get(t.Context(), "node-a", metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("node-a is still there: %v", err)
		}
		node, err := w.client.CoreV1().Nodes().Get(t.Context(), "node-c", metav1.GetOptions{})
		if err == nil && node.Labels["example.com/new"] != "yes" {
			err = fmt.Errorf("labels are %v", node.Labels)
		}
		return err
	})
	w.waitRollout(t, "web", 2)
	w.expectFromPod(t, "client", "http://web", " two")
	pods, err := w.client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{FieldSelector: "spec.nodeName=node-a"})
	if err != nil || len(pods.Items) > 0 {
		t.Errorf("%d pods are left on node-a, %v", len(pods.Items), err)
	}
}

func (w *world) registryPort(t *testing.T) uint16 {
	t.Helper()
	host, _, _ := strings.Cut(w.image, "/")
	_, port, _ := strings.Cut(host, ":")
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(number)
}

// exec runs a command in a pod and returns its output.
func (w *world) exec(ctx context.Context, pod string, command ...string) (string, error) {
	request := w.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Command: command, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(w.config, http.MethodGet, request.URL().String())
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var output bytes.Buffer
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &output, Stderr: io.Discard})
	return output.String(), err
}

// forward asks the pod over a port of the machine.
func (w *world) forward(t *testing.T, pod string) {
	t.Helper()
	target := w.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(w.config)
	if err != nil {
		t.Fatal(err)
	}
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, target)
	stop, ready := make(chan struct{}), make(chan struct{})
	defer close(stop)
	forwarder, err := portforward.New(dialer, []string{"0:8080"}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() { failed <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-failed:
		t.Fatalf("port-forward: %v", err)
	case <-time.After(soon):
		t.Fatal("port-forward was not ready in time")
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	body, err := fetch(t.Context(), http.DefaultClient, fmt.Sprintf("http://127.0.0.1:%d/", ports[0].Local))
	if err != nil || !strings.HasPrefix(body, pod+" ") {
		t.Fatalf("port-forward answered %q, %v", body, err)
	}
}
