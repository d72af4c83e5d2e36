package mirror

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/m3o/platform/internal/release"
)

// followSuspended makes the mirror follow the namespaces of projects that are suspended: there are few, if any.
func (m *Mirror) followSuspended(client kubernetes.Interface) error {
	spaces := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.LabelSelector = release.LabelSuspended + "=true"
	}))
	m.suspended = spaces.Core().V1().Namespaces().Informer()
	m.factories = append(m.factories, spaces)
	if err := m.suspended.SetWatchErrorHandlerWithContext(m.lost); err != nil {
		return fmt.Errorf("follow suspended projects: %w", err)
	}
	return m.suspended.SetTransform(cache.TransformFunc(slim))
}

// Suspended reports whether a project is suspended. While the API server is away it is what was last known.
func (m *Mirror) Suspended(project string) bool {
	found, there, err := m.suspended.GetStore().GetByKey(release.Namespace(project))
	space, ok := found.(*corev1.Namespace)
	return err == nil && there && ok && space.Labels[release.LabelSuspended] == "true"
}

// AllSuspended names the projects that are suspended.
func (m *Mirror) AllSuspended() []string {
	var projects []string
	for _, object := range m.suspended.GetStore().List() {
		if space, ok := object.(*corev1.Namespace); ok && space.Labels[release.LabelSuspended] == "true" {
			if project := space.Labels[release.LabelProject]; space.Name == release.Namespace(project) {
				projects = append(projects, project)
			}
		}
	}
	slices.Sort(projects)
	return projects
}
