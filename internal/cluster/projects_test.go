package cluster_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

func marked(t *testing.T, project string) bool {
	t.Helper()
	space, err := admin.CoreV1().Namespaces().Get(t.Context(), release.Namespace(project), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return space.Labels[release.LabelSuspended] == "true"
}

// TestAMarkStaysWhateverIsDeployed: the newest standing counts, and applying a service leaves it alone.
func TestAMarkStaysWhateverIsDeployed(t *testing.T) {
	const project = "marked"
	mark := func(suspended bool, version int64) {
		t.Helper()
		if err := client.MarkProject(t.Context(), release.Standing{Project: project, Suspended: suspended, Version: version}); err != nil {
			t.Fatal(err)
		}
	}
	mark(false, 1) // of a project that has nothing here
	if _, err := admin.CoreV1().Namespaces().Get(t.Context(), release.Namespace(project), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a namespace was made for nothing: %v", err)
	}
	mark(true, 2) // before it has anything here
	applyService(t, hello(project, 1))
	if !marked(t, project) {
		t.Error("deploying took the mark away")
	}
	mark(false, 1)
	if !marked(t, project) {
		t.Error("an older standing took the mark away")
	}
	mark(false, 3)
	mark(true, 2)
	applyService(t, hello(project, 2))
	if marked(t, project) {
		t.Error("the mark came back")
	}
}

func TestAProjectsNamespaceIsDeleted(t *testing.T) {
	const project = "deleted"
	applyService(t, hello(project, 1))
	eventually(t, "the namespace is gone", func() (bool, string) {
		gone, err := client.DeleteProject(t.Context(), project)
		return gone && err == nil, fmt.Sprint(err)
	})
	foreign := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: release.Namespace("foreign")}}
	if _, err := admin.CoreV1().Namespaces().Create(t.Context(), foreign, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.DeleteProject(t.Context(), "foreign"); !fault.Is(err, fault.Exists) {
		t.Errorf("somebody else's namespace: %v", err)
	}
}
