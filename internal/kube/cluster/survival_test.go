package cluster_test

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// processesOf lists the processes whose command line names the directory: the
// cluster, its nodes and its pods.
func processesOf(t *testing.T, dir string) []int {
	t.Helper()
	return processesWith(t, func(line string) bool { return strings.Contains(line, dir) })
}

// podProcesses lists the processes of the cluster's pods.
func podProcesses(t *testing.T, dir string) []int {
	t.Helper()
	return processesWith(t, func(line string) bool { return line == "/app\x00in\x00"+dir+"\x00" })
}

func processesWith(t *testing.T, wanted func(string) bool) []int {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, entry := range entries {
		line, err := os.ReadFile(entry)
		if err != nil || !wanted(string(line)) {
			continue
		}
		if pid, err := strconv.Atoi(strings.Split(entry, "/")[2]); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

func nodeProcess(t *testing.T, dir, name string) int {
	t.Helper()
	pids := processesOf(t, filepath.Join(dir, "nodes", name))
	if len(pids) != 1 {
		t.Fatalf("node %s has the processes %v", name, pids)
	}
	return pids[0]
}

func nodeComesBack(t *testing.T, w *world) {
	killed := nodeProcess(t, w.dir, "node-a")
	if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, soon, func() error {
		for _, pid := range processesOf(t, filepath.Join(w.dir, "nodes", "node-a")) {
			if pid != killed {
				return nil
			}
		}
		return errors.New("the node's process is not there again")
	})
	w.waitReady(t, "node-a", "node-b")
	w.waitRollout(t, "web", 2)
	for range 6 {
		w.expectFromPod(t, "client", "http://web", " two")
	}
}

// keeper is a deployment of one pod with a claim of its own at /data.
func (w *world) keeper(t *testing.T, name string, env ...corev1.EnvVar) {
	t.Helper()
	w.create(t, &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			},
		},
	})
	keeper := w.deployment(name, 1, "one")
	pod := &keeper.Spec.Template.Spec
	pod.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name},
	}}}
	pod.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
	pod.Containers[0].Env = append(pod.Containers[0].Env, env...)
	w.create(t, keeper)
	w.waitRollout(t, name, 1)
}

func volumeSurvives(t *testing.T, w *world) {
	w.keeper(t, "keeper")
	if _, err := w.ask(t.Context(), "keeper", "/write?path=/data/file&data="+url.QueryEscape("still here")); err != nil {
		t.Fatal(err)
	}
	old := w.pod(t, "keeper")
	if err := w.client.CoreV1().Pods(namespace).Delete(t.Context(), old, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.expectKept(t, old)
	w.killEverything(t)
	w.expectKept(t, "")
	w.expectFromPod(t, "client", "http://web", " two")
	w.deleteVolume(t)
}

// expectKept waits until a pod other than old reads what was written.
func (w *world) expectKept(t *testing.T, old string) {
	t.Helper()
	eventually(t, soon, func() error {
		pod, err := w.readyPod(t.Context(), "keeper")
		if err == nil && pod == old {
			err = fmt.Errorf("%s is still the pod", old)
		}
		if err != nil {
			return err
		}
		data, err := w.ask(t.Context(), "keeper", "/read?path=/data/file")
		if err == nil && data != "still here" {
			err = fmt.Errorf("the volume has %q", data)
		}
		return err
	})
}

// killEverything kills the cluster's process, expects nodes and pods to die with
// it, and starts another on the same directory.
func (w *world) killEverything(t *testing.T) {
	t.Helper()
	before, err := w.status()
	if err != nil {
		t.Fatal(err)
	}
	if len(podProcesses(t, w.dir)) == 0 {
		t.Fatal("no pod's process is to be seen")
	}
	w.kill()
	eventually(t, 10*time.Second, func() error {
		if left := processesOf(t, w.dir); len(left) > 0 {
			return fmt.Errorf("the processes %v outlived the cluster", left)
		}
		return nil
	})
	begin := time.Now()
	w.process = start(w.whole, w.dir)
	after := w.waitReady(t, "node-a", "node-b")
	t.Logf("ready again in %s", time.Since(begin))
	if after.Endpoint != before.Endpoint {
		t.Errorf("the endpoint was %s and is %s", before.Endpoint, after.Endpoint)
	}
	for app, replicas := range map[string]int32{"web": 2, "client": 1} {
		w.waitRollout(t, app, replicas)
	}
	t.Logf("pods again after %s", time.Since(begin))
}

func (w *world) deleteVolume(t *testing.T) {
	t.Helper()
	if err := w.client.AppsV1().Deployments(namespace).Delete(t.Context(), "keeper", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := w.client.CoreV1().PersistentVolumeClaims(namespace).Delete(t.Context(), "keeper", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, soon, func() error {
		volumes, err := w.client.CoreV1().PersistentVolumes().List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		folders, err := os.ReadDir(filepath.Join(w.dir, "volumes"))
		if err == nil && len(volumes.Items)+len(folders) > 0 {
			err = fmt.Errorf("%d volumes and %d directories are left", len(volumes.Items), len(folders))
		}
		return err
	})
}

func otherVersion(t *testing.T, w *world) {
	w.spec.Version = "1.36"
	writeSpec(t, w.dir, w.spec)
	eventually(t, soon, func() error {
		version, err := w.client.Discovery().ServerVersion()
		if err == nil && version.GitVersion != "v1.36.0" {
			err = fmt.Errorf("the server presents %s", version.GitVersion)
		}
		return err
	})
	w.waitReady(t, "node-b", "node-c")
	w.waitRollout(t, "web", 2)
	w.expectFromPod(t, "client", "http://web", " two")
}

func stopsWhenTold(t *testing.T, w *world) {
	w.keeper(t, "last", corev1.EnvVar{Name: "STOP_FILE", Value: "/data/stopped"})
	begin := time.Now()
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := w.wait(t, 30*time.Second); err != nil {
		t.Errorf("it ended with %v", err)
	}
	t.Logf("stopped in %s", time.Since(begin))
	if files, err := filepath.Glob(filepath.Join(w.dir, "volumes", "*", "stopped")); err != nil || len(files) != 1 {
		t.Errorf("the pod was not told to stop: %v, %v", files, err)
	}
	if left := processesOf(t, w.dir); len(left) > 0 {
		t.Errorf("the processes %v are left", left)
	}
	status, err := w.status()
	if err != nil || status.Ready || status.Error != "" {
		t.Errorf("the status is %+v, %v", status, err)
	}
}
