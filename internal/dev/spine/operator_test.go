//go:build embedded

package spine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apps "k8s.io/client-go/applyconfigurations/apps/v1"
	core "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
)

// Where hello runs, and the gateway.
const (
	space   = "project-default"
	network = "m3o-network"
)

// refuseSecond starts `m3o dev` where one runs, on the same data and on the same ports.
func refuseSecond(t *testing.T, p *platform) {
	offset, elsewhere := strconv.Itoa(p.offset), t.TempDir()
	for _, c := range []struct {
		dir, offset string
		words       []string
	}{
		{p.dir, strconv.Itoa(freeOffset(t)), []string{p.dir + " is in use by process " + strconv.Itoa(p.dev.Process.Pid), "--data-dir"}},
		{elsewhere, offset, []string{"ports are taken", "the sandbox of another data directory", p.dir, "--port-offset"}},
	} {
		r := execute(exec.CommandContext(t.Context(), program(t), "dev", "--data-dir", c.dir, "--port-offset", c.offset))
		for _, word := range c.words {
			if r.code != 1 || !strings.Contains(r.errs, word) {
				t.Errorf("exit %d, and not %q: %s %s", r.code, word, r.errs, r.out)
			}
		}
	}
	if entries, err := filepath.Glob(filepath.Join(elsewhere, "*")); err != nil || !slices.Equal(entries, []string{filepath.Join(elsewhere, "run")}) {
		t.Errorf("the one that was refused left %v, %v", entries, err)
	}
	get(t, p.api+"/readyz")
}

// useCluster does with a region's kubeconfig what operators do: by client-go, and by kubectl where that is installed.
func useCluster(t *testing.T, p *platform) {
	file := filepath.Join(t.TempDir(), "lon1.yaml")
	p.must("region", "kubeconfig", "lon1", "--output", file)
	config, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(nodes.Items) != 1 || !strings.HasPrefix(nodes.Items[0].Status.NodeInfo.KubeletVersion, "v1.") {
		t.Fatalf("nodes: %+v, %v", nodes, err)
	}
	pod := instance(t, client)
	printed, err := client.CoreV1().Pods(space).GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(t.Context())
	if err != nil || !strings.Contains(string(printed), "hello listens") {
		t.Errorf("%s printed %q, %v", pod.Name, printed, err)
	}
	gateways, err := client.CoreV1().Pods(network).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(gateways.Items) == 0 {
		t.Fatalf("gateways: %v, %v", gateways, err)
	}
	version := p.must("version")
	if said, err := inside(t.Context(), config, client, gateways.Items[0], "/m3o", "version"); err != nil || said != version {
		t.Errorf("m3o version in the gateway's pod says %q, %v, want %q", said, err, version)
	}
	settings := core.ConfigMap("spine", space).WithData(map[string]string{"said": "hello"})
	for range 2 { // applied twice, there all the same
		made, err := client.CoreV1().ConfigMaps(space).Apply(t.Context(), settings, metav1.ApplyOptions{FieldManager: "spine"})
		if err != nil || made.Data["said"] != "hello" {
			t.Errorf("applied: %+v, %v", made, err)
		}
	}
	roll(t, client)
	if after := instance(t, client); after.Name == pod.Name {
		t.Errorf("%s runs on after a rollout", after.Name)
	}
	useKubectl(t, file, version)
}

// instance is the pod of hello that runs.
func instance(t *testing.T, client kubernetes.Interface) corev1.Pod {
	t.Helper()
	var found corev1.Pod
	eventually(t, time.Minute, func() error {
		pods, err := client.CoreV1().Pods(space).List(t.Context(), metav1.ListOptions{LabelSelector: "m3o.dev/service=hello"})
		if err != nil {
			return err
		}
		pods.Items = slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil || p.Status.Phase != corev1.PodRunning })
		if len(pods.Items) != 1 {
			return fmt.Errorf("%d instances of hello run in lon1", len(pods.Items))
		}
		found = pods.Items[0]
		return nil
	})
	return found
}

// inside runs a command in a pod, by the protocol that kubectl speaks: frames whose first byte says which stream it is.
func inside(ctx context.Context, config *rest.Config, client kubernetes.Interface, pod corev1.Pod, command ...string) (string, error) {
	config = rest.CopyConfig(config)
	config.NextProtos = []string{"http/1.1"} // only that can be upgraded
	web, err := rest.HTTPClientFor(config)
	if err != nil {
		return "", err
	}
	at := client.CoreV1().RESTClient().Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("exec").URL()
	at.RawQuery = url.Values{"command": command, "stdout": {"true"}, "stderr": {"true"}}.Encode()
	stream, _, err := websocket.Dial(ctx, at.String(), &websocket.DialOptions{HTTPClient: web, Subprotocols: []string{"v5.channel.k8s.io"}})
	if err != nil {
		return "", err
	}
	defer stream.CloseNow()
	var said bytes.Buffer
	for {
		_, frame, err := stream.Read(ctx)
		switch {
		case errors.Is(err, io.EOF) || websocket.CloseStatus(err) == websocket.StatusNormalClosure:
			return said.String(), nil
		case err != nil:
			return said.String(), err
		case len(frame) > 0 && frame[0] == 3 && !bytes.Contains(frame, []byte(`"Success"`)):
			return said.String(), fmt.Errorf("%s", frame[1:])
		case len(frame) > 0 && frame[0] != 3:
			said.Write(frame[1:])
		}
	}
}

// roll makes hello's instances anew, as `kubectl rollout restart` does, and returns when they are.
func roll(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	again := apps.Deployment("hello", space).WithSpec(apps.DeploymentSpec().WithTemplate(
		core.PodTemplateSpec().WithAnnotations(map[string]string{"spine/restarted": time.Now().Format(time.RFC3339Nano)})))
	if _, err := client.AppsV1().Deployments(space).Apply(t.Context(), again, metav1.ApplyOptions{FieldManager: "spine"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() error {
		d, err := client.AppsV1().Deployments(space).Get(t.Context(), "hello", metav1.GetOptions{})
		if err != nil || !rolled(d) {
			return fmt.Errorf("the rollout has not ended: %+v, %w", d.Status, err)
		}
		return nil
	})
}

func rolled(d *appsv1.Deployment) bool {
	s := d.Status
	return s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == *d.Spec.Replicas && s.Replicas == s.UpdatedReplicas && s.AvailableReplicas == s.Replicas
}

func useKubectl(t *testing.T, file, version string) {
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		t.Log("kubectl is not installed: client-go alone was tried")
		return
	}
	manifest := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: spine-kubectl, namespace: " + space + "}\ndata: {said: hello}\n"
	for _, c := range []struct {
		args  string
		words string
	}{
		{"get nodes", "Ready"},
		{"get pods --all-namespaces", "gateway"},
		{"-n " + space + " describe deployment hello", "m3o.dev/service=hello"},
		{"-n " + space + " logs deployment/hello", "hello listens"},
		{"-n " + network + " exec deployment/gateway -- /m3o version", version},
		{"apply -f -", "configmap/spine-kubectl created"},
		{"apply -f -", "configmap/spine-kubectl unchanged"},
		{"-n " + space + " rollout restart deployment/hello", "restarted"},
		{"-n " + space + " rollout status deployment/hello --timeout=60s", "successfully rolled out"},
	} {
		cmd := exec.CommandContext(t.Context(), kubectl, strings.Fields("--kubeconfig "+file+" "+c.args)...)
		cmd.Stdin = strings.NewReader(manifest)
		if r := execute(cmd); r.code != 0 || !strings.Contains(r.out, c.words) {
			t.Errorf("kubectl %s: exit %d, and not %q: %s %s", c.args, r.code, c.words, r.errs, r.out)
		}
	}
}

// readLogs reads what hello printed, and then what it prints while a release rolls.
func readLogs(t *testing.T, p *platform) {
	eventually(t, time.Minute, func() error { // instances that were replaced take a moment to go
		lines := strings.Split(strings.TrimSpace(p.must("logs", "hello", "--tail", "1")), "\n")
		if len(lines) != 2 || !strings.Contains(lines[0]+lines[1], " lon1/") || !strings.Contains(lines[0]+lines[1], " nyc3/") {
			return fmt.Errorf("the last line of each instance, in two regions: %q", lines)
		}
		return nil
	})
	var out, errs safe
	follow := exec.CommandContext(t.Context(), program(t), p.here([]string{"logs", "hello", "-f", "--tail", "1"})...)
	follow.Stdout, follow.Stderr = &out, &errs
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() error { return both(out.String(), "hello listens", &errs) })
	r := decode[ran](t, p.must("run", variant(t, func(s string) string { return strings.ReplaceAll(s, "hello listens", "hello is new") }), "--name", "hello", "--json"))
	eventually(t, time.Minute, func() error { return both(out.String(), fmt.Sprintf("release=%d", r.Release), &errs) })
	eventually(t, time.Minute, func() error { return both(out.String(), "hello shuts down", &errs) })
	if err := follow.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := follow.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v: %s", err, errs.String())
	}
}

// both says what is missing of lines of both regions with these words.
func both(printed, words string, errs *safe) error {
	for _, region := range []string{"lon1", "nyc3"} {
		if !slices.ContainsFunc(strings.Split(printed, "\n"), func(l string) bool { return strings.Contains(l, " "+region+"/") && strings.Contains(l, words) }) {
			return fmt.Errorf("no line of %s says %q: %s %s", region, words, printed, errs.String())
		}
	}
	return nil
}

// safe is a buffer that is read while it is written.
type safe struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *safe) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *safe) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// restart stops `m3o dev` and starts it again on the same data, each process by itself; then it kills each of them, which
// must come back and work.
func restart(t *testing.T, p *platform, first ran) {
	p.stop()
	p.args = append(p.args, "--split")
	p.up()
	for _, r := range first.Regions {
		eventually(t, 2*time.Minute, func() error {
			if _, why := ask(r.URL); why != "" {
				return fmt.Errorf("%s does not answer again: %s", r.Name, why)
			}
			return nil
		})
	}
	for _, name := range []string{"worker-" + queue.Flows, "worker-" + queue.Build, "worker-" + queue.Cloud(region.DigitalOcean), "api"} {
		before, err := p.child(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
			t.Fatalf("kill %s: %v", name, err)
		}
		eventually(t, 30*time.Second, func() error {
			after, err := p.child(name)
			if err == nil && after == before {
				err = fmt.Errorf("%s is still process %d", name, before)
			}
			return err
		})
	}
	eventually(t, 30*time.Second, func() error {
		_, why := ask(p.api + "/readyz")
		if why != "" {
			return fmt.Errorf("the API does not come back: %s", why)
		}
		return nil
	})
	r := decode[ran](t, p.must("run", variant(t, func(s string) string { return s + "\nvar _ = \"each by itself\"\n" }), "--name", "hello", "--json"))
	for _, region := range r.Regions {
		eventually(t, time.Minute, func() error { return answersAs(region.URL, region.Name, r.Release) })
	}
}

// child is the process of that name, which must be a child of `m3o dev`.
func (p *platform) child(name string) (int, error) {
	text, err := os.ReadFile(filepath.Join(p.dir, "run", name+".pid"))
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, err
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	if fields := strings.Fields(rest); len(fields) < 2 || fields[0] == "Z" || fields[1] != strconv.Itoa(p.dev.Process.Pid) {
		return 0, fmt.Errorf("%s, process %d, is no child of m3o dev: %s", name, pid, stat)
	}
	return pid, nil
}
