// Package mirror reads from Kubernetes where the services of a region run: the ready endpoints of the EndpointSlices that
// the platform manages, and the pods behind them. It also vouches for what registers itself: that it is a pod of its project.
//
// A slice counts when it carries the label m3o.dev/managed=true, names its project and service in labels, and lies in the
// namespace of that project, so that nobody can speak for another project. An endpoint counts when the slice says that it
// is ready and its pod is there, ready, and not about to go: the pod's deletion is seen at the moment the kubelet sees it,
// earlier than the slice changes. The package writes nothing, neither to Kubernetes nor to etcd. Only the gateway imports it.
package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// PortName is the port of a slice that requests are sent to, where there are several.
const PortName = "http"

// Mirror follows the slices and pods of a cluster. It keeps what it last knew while the API server is away.
type Mirror struct {
	slices    cache.SharedIndexInformer
	pods      cache.SharedIndexInformer
	suspended cache.SharedIndexInformer // namespaces
	factories []informers.SharedInformerFactory
	logger    *slog.Logger
	onChange  []func()
	synced    atomic.Bool
}

// New makes a mirror of the cluster that the client speaks to.
func New(client kubernetes.Interface, logger *slog.Logger) (*Mirror, error) {
	slices := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.LabelSelector = release.LabelManaged + "=true"
	}))
	pods := informers.NewSharedInformerFactory(client, 0) // of all kinds: what registers itself carries no labels of ours
	m := &Mirror{slices: slices.Discovery().V1().EndpointSlices().Informer(), pods: pods.Core().V1().Pods().Informer(),
		factories: []informers.SharedInformerFactory{slices, pods}, logger: logger}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { m.changed() },
		UpdateFunc: func(any, any) { m.changed() },
		DeleteFunc: func(any) { m.changed() },
	}
	for _, informer := range []cache.SharedIndexInformer{m.slices, m.pods} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return nil, fmt.Errorf("follow the cluster: %w", err)
		}
		if err := informer.SetWatchErrorHandlerWithContext(m.lost); err != nil {
			return nil, fmt.Errorf("follow the cluster: %w", err)
		}
	}
	return m, errors.Join(m.followSuspended(client), m.slices.SetTransform(slim), m.pods.SetTransform(slim), m.pods.AddIndexers(cache.Indexers{byAddress: addresses}))
}

// OnChange adds a function that is called after every change. It must be fast, and set before Run.
func (m *Mirror) OnChange(f func()) { m.onChange = append(m.onChange, f) }

// Synced reports whether the cluster has been read.
func (m *Mirror) Synced() bool { return m.synced.Load() }

// Run follows the cluster until the context ends.
func (m *Mirror) Run(ctx context.Context) error {
	for _, f := range m.factories {
		f.Start(ctx.Done())
	}
	if cache.WaitForCacheSync(ctx.Done(), m.slices.HasSynced, m.pods.HasSynced, m.suspended.HasSynced) {
		m.synced.Store(true)
		m.changed()
	}
	<-ctx.Done()
	for _, f := range m.factories {
		f.Shutdown()
	}
	return nil
}

// Pods are the pods of a service that are there now, on their way out or not.
func (m *Mirror) Pods(key release.Key) []*corev1.Pod {
	selector := labels.SelectorFromSet(labels.Set{release.LabelService: key.Name})
	pods, err := corelisters.NewPodLister(m.pods.GetIndexer()).Pods(key.Namespace()).List(selector)
	if err != nil { // the lister reads memory: it has no way to fail
		m.logger.Error("pods cannot be listed", "error", err.Error())
	}
	return pods
}

// Managed are the pods of all services that the platform runs in projects that are not suspended, by service.
func (m *Mirror) Managed() map[release.Key][]*corev1.Pod {
	all, err := corelisters.NewPodLister(m.pods.GetIndexer()).List(labels.SelectorFromSet(labels.Set{release.LabelManaged: "true"}))
	if err != nil {
		m.logger.Error("pods cannot be listed", "error", err.Error())
	}
	services := map[release.Key][]*corev1.Pod{}
	for _, pod := range all {
		if key, ok := Owner(pod); ok && !m.Suspended(key.Project) {
			services[key] = append(services[key], pod)
		}
	}
	return services
}

// Owner is the service that a pod is an instance of, if it is one's.
func Owner(pod *corev1.Pod) (release.Key, bool) {
	key := release.Key{Project: pod.Labels[release.LabelProject], Name: pod.Labels[release.LabelService]}
	return key, region.IsLabel(key.Project) && region.IsLabel(key.Name) && pod.Namespace == key.Namespace()
}

func (m *Mirror) allSlices() []*discoveryv1.EndpointSlice {
	all, err := discoverylisters.NewEndpointSliceLister(m.slices.GetIndexer()).List(labels.Everything())
	if err != nil {
		m.logger.Error("endpoint slices cannot be listed", "error", err.Error())
	}
	return all
}

func (m *Mirror) pod(namespace, name string) *corev1.Pod {
	pod, err := corelisters.NewPodLister(m.pods.GetIndexer()).Pods(namespace).Get(name)
	if err != nil {
		return nil
	}
	return pod
}

func (m *Mirror) changed() {
	for _, f := range m.onChange {
		f()
	}
}

func (m *Mirror) lost(ctx context.Context, _ *cache.Reflector, err error) {
	m.logger.WarnContext(ctx, "the cluster's API server does not answer as it should", "error", err.Error())
}

// slim drops what nobody here reads, so that a large cluster does not fill the memory.
func slim(object any) (any, error) {
	if accessor, ok := object.(metav1.ObjectMetaAccessor); ok {
		accessor.GetObjectMeta().SetManagedFields(nil)
	}
	if pod, ok := object.(*corev1.Pod); ok {
		_, ours := Owner(pod)
		containers := make([]corev1.Container, len(pod.Spec.Containers))
		for i, c := range pod.Spec.Containers {
			containers[i].Name = c.Name
			if ours { // what its state is told by
				containers[i].Image, containers[i].Ports, containers[i].ReadinessProbe = c.Image, c.Ports, c.ReadinessProbe
				containers[i].Resources.Limits, containers[i].VolumeMounts = c.Resources.Limits, c.VolumeMounts
			}
		}
		var volumes []corev1.Volume
		if ours {
			volumes = pod.Spec.Volumes
		}
		pod.Spec = corev1.PodSpec{Containers: containers, Volumes: volumes, NodeName: pod.Spec.NodeName, HostNetwork: pod.Spec.HostNetwork}
	}
	return object, nil
}
