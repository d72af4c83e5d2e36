package storage

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// volumesDir is a directory of volumes with something in each.
func volumesDir(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, name, "data"), []byte("mine"), 0o600))
	}
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// has says whether the directory has exactly these entries.
func has(t *testing.T, dir string, want ...string) bool {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return slices.Equal(names, want)
}

// runUntil runs a provisioner until done.
func runUntil(t *testing.T, client kubernetes.Interface, dir, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- New(client, dir, func(string) error { return nil }, slog.New(slog.DiscardHandler)).Run(ctx)
	}()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("waited too long: %s", what)
			break
		}
	}
	cancel()
	must(t, <-ended)
}

// TestNothingIsSweptBeforeTheClusterIsKnown stops a provisioner whose API server
// has not answered.
func TestNothingIsSweptBeforeTheClusterIsKnown(t *testing.T) {
	dir := volumesDir(t, "pvc-1")
	client := fake.NewClientset()
	asked := make(chan struct{}, 100)
	client.PrependReactor("list", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		select {
		case asked <- struct{}{}:
		default:
		}
		return true, nil, errors.New("the API server is starting")
	})
	runUntil(t, client, dir, "the API server is asked", func() bool { return len(asked) > 0 })
	if !has(t, dir, "pvc-1") {
		t.Error("a volume's directory was removed by one who did not know the volumes")
	}
}

func TestRetainedDirectoryOutlivesItsVolume(t *testing.T) {
	dir := volumesDir(t, "pvc-kept")
	deleted := metav1.Now()
	client := fake.NewClientset(&corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name: "pvc-kept", DeletionTimestamp: &deleted, Finalizers: []string{finalizer},
			Annotations: map[string]string{volumeProvisioner: provisionerName},
		},
		Spec:   corev1.PersistentVolumeSpec{PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain},
		Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeReleased},
	})
	runUntil(t, client, dir, "the volume is let go", func() bool {
		volume, err := client.CoreV1().PersistentVolumes().Get(t.Context(), "pvc-kept", metav1.GetOptions{})
		must(t, err)
		return len(volume.Finalizers) == 0
	})
	must(t, os.Mkdir(filepath.Join(dir, "pvc-left"), 0o700))
	runUntil(t, fake.NewClientset(), dir, "only what is retained is left", func() bool {
		return has(t, dir, "pvc-kept", "pvc-kept"+retained)
	})
	if _, err := os.Stat(filepath.Join(dir, "pvc-kept", "data")); err != nil {
		t.Errorf("what was to be retained is gone: %v", err)
	}
	must(t, os.RemoveAll(filepath.Join(dir, "pvc-kept")))
	runUntil(t, fake.NewClientset(), dir, "the mark went with the directory", func() bool { return has(t, dir) })
}
