//go:build embedded && bench

package spine

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/release"
)

// watched notes when things were first seen in a region's cluster, by our own clock: Kubernetes' own times are whole seconds.
type watched struct {
	region string

	mu        sync.Mutex
	pods      map[types.UID]*podTimes
	available map[string]time.Time // "service/release" -> as many instances as wanted are ready, and have been for minReadySeconds
	rolled    map[string]time.Time // "service/release" -> and nothing of another release is left
}

// podTimes are the moments of one pod.
type podTimes struct {
	namespace, name, service, release     string
	made, scheduled, running, ready, gone time.Time
}

// watchRegion follows a region's cluster until the test ends. The cluster may still be on its way.
func watchRegion(t *testing.T, p *platform, name string) *watched {
	t.Helper()
	w := &watched{region: name, pods: map[types.UID]*podTimes{}, available: map[string]time.Time{}, rolled: map[string]time.Time{}}
	config, err := clientcmd.RESTConfigFromKubeConfig(clusterAccess(t, p, name))
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	follow(t, factory.Core().V1().Pods().Informer(), w.seePod)
	follow(t, factory.Apps().V1().Deployments().Informer(), w.seeDeployment)
	follow(t, factory.Apps().V1().ReplicaSets().Informer(), w.seeReplicas)
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop); factory.Shutdown() })
	factory.Start(stop)
	return w
}

// follow has see called with everything that an informer hears.
func follow[T any](t *testing.T, informer cache.SharedIndexInformer, see func(T, bool)) {
	t.Helper()
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { see(o.(T), false) },
		UpdateFunc: func(_, o any) { see(o.(T), false) },
		DeleteFunc: func(o any) {
			if last, unknown := o.(cache.DeletedFinalStateUnknown); unknown {
				o = last.Obj
			}
			see(o.(T), true)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// clusterAccess asks the sandbox's DigitalOcean for the region's kubeconfig, as soon as the real cluster can be reached: before
// the region is ready, and past the platform, whose times are to be measured.
func clusterAccess(t *testing.T, p *platform, name string) []byte {
	t.Helper()
	var config []byte
	eventually(t, 5*time.Minute, func() (err error) {
		created, found := p.lineOf("created", "kubernetes_cluster", name)
		if !found {
			return fmt.Errorf("no cluster of %s was asked for", name)
		}
		config, err = p.cloud("/v2/kubernetes/clusters/" + created.ID + "/kubeconfig")
		return err
	})
	return config
}

// lineOf is the ledger's newest line of that kind about a region's resource.
func (p *platform) lineOf(kind, resource, region string) (effect, bool) {
	p.t.Helper()
	for _, e := range slices.Backward(p.effects()) {
		if e.Kind == kind && e.Resource == resource && strings.HasSuffix(e.Name, "-"+region) {
			return e, true
		}
	}
	return effect{}, false
}

func (p *platform) cloud(path string) ([]byte, error) {
	token, err := os.ReadFile(filepath.Join(p.dir, "sandbox", "digitalocean.token"))
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+strconv.Itoa(9001+p.offset)+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	return fetch(req, http.StatusOK)
}

func (w *watched) seePod(pod *corev1.Pod, gone bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	seen := w.pods[pod.UID]
	if seen == nil {
		seen = &podTimes{namespace: pod.Namespace, name: pod.Name, service: pod.Labels[release.LabelService], release: pod.Labels[release.LabelRelease], made: now}
		w.pods[pod.UID] = seen
	}
	for _, c := range pod.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case corev1.PodScheduled:
			first(&seen.scheduled, now)
		case corev1.PodReady:
			first(&seen.ready, now)
		}
	}
	if pod.Status.Phase == corev1.PodRunning {
		first(&seen.running, now)
	}
	if gone {
		first(&seen.gone, now)
	}
}

func first(at *time.Time, now time.Time) {
	if at.IsZero() {
		*at = now
	}
}

func (w *watched) seeReplicas(set *appsv1.ReplicaSet, _ bool) {
	if set.Spec.Replicas != nil && *set.Spec.Replicas > 0 && set.Status.AvailableReplicas >= *set.Spec.Replicas {
		w.note(w.available, set.Spec.Template.Labels)
	}
}

func (w *watched) seeDeployment(d *appsv1.Deployment, _ bool) {
	s := d.Status
	if s.ObservedGeneration >= d.Generation && s.Replicas == s.UpdatedReplicas && s.AvailableReplicas >= *d.Spec.Replicas {
		w.note(w.rolled, d.Spec.Template.Labels)
	}
}

func (w *watched) note(in map[string]time.Time, labels map[string]string) {
	key := labels[release.LabelService] + "/" + labels[release.LabelRelease]
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := in[key]; !known && key != "/" {
		in[key] = time.Now()
	}
}

// rollout is what was seen of a release: its pod that came last, and when it was available and alone.
func (w *watched) rollout(service string, number int) (pod podTimes, available, rolled time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := fmt.Sprintf("%s/%d", service, number)
	for _, p := range w.pods {
		if p.service == service && p.release == strconv.Itoa(number) && p.made.After(pod.made) {
			pod = *p
		}
	}
	available, rolled = w.available[key], w.rolled[key]
	if pod.ready.IsZero() || available.IsZero() || rolled.IsZero() {
		return pod, available, rolled, fmt.Errorf("the watch has not seen all of %s in %s: %+v, available %s, rolled %s", key, w.region, pod, available, rolled)
	}
	return pod, available, rolled, nil
}

// others counts what is left of other releases, pods on their way out too.
func (w *watched) others(service string, number int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	count := 0
	for p := range maps.Values(w.pods) {
		if p.service == service && p.release != strconv.Itoa(number) && p.gone.IsZero() {
			count++
		}
	}
	return count
}

// lastPart is the pod of the region's own parts that was ready last.
func (w *watched) lastPart() (last podTimes) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.pods {
		if p.namespace != cluster.ResourceNamespace && p.namespace != cluster.NetworkNamespace {
			continue
		}
		if p.ready.After(last.ready) {
			last = *p
		}
	}
	return last
}
