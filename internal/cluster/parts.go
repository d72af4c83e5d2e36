package cluster

import (
	"context"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/m3o/platform/internal/region"
)

// ApplyParts makes the parts of the spec exist as wanted; it does not wait (PartsState tells). It is server-side apply:
// repeating it changes nothing.
func (c *Client) ApplyParts(ctx context.Context, spec region.Spec, in Parts) error {
	if _, err := distributionOf(spec.Provider); err != nil {
		return err
	}
	in, err := in.complete(spec)
	if err != nil {
		return err
	}
	if err := c.makeOnce(ctx, spec, in); err != nil {
		return err
	}
	found, err := c.survey(ctx, spec)
	if err != nil {
		return err
	}
	return c.applyAll(ctx, parts(spec, in, found))
}

// PruneParts removes the parts that the spec no longer lists, and what is left of others. Their volumes and secrets stay:
// a part that is listed again finds its data. Access that has ended is removed, too.
func (c *Client) PruneParts(ctx context.Context, spec region.Spec) error {
	leftovers, err := c.leftovers(ctx, spec)
	if err != nil {
		return err
	}
	for _, l := range leftovers {
		if err := c.remove(ctx, l.resource, l.object); err != nil {
			return err
		}
	}
	return c.pruneCallers(ctx, time.Now())
}

// wantedParts are the parts of the spec in the order in which they are brought up.
func wantedParts(spec region.Spec) []region.Part {
	var list []region.Part
	for _, p := range []region.Part{region.Etcd, region.NATS, region.CockroachDB, region.API} {
		if spec.Wants(p) {
			list = append(list, p)
		}
	}
	return list
}

// survey is what parts depend on and only the cluster knows.
type survey struct {
	members   map[region.Part]int32
	authority string // fingerprint of CockroachDB's certificates
}

func (c *Client) survey(ctx context.Context, spec region.Spec) (survey, error) {
	found := survey{members: map[region.Part]int32{}}
	for _, p := range []region.Part{region.Etcd, region.NATS} {
		if !spec.Wants(p) {
			continue
		}
		members, err := c.members(ctx, string(p), membersFor(spec.Kubernetes.Nodes.Count))
		if err != nil {
			return survey{}, err
		}
		found.members[p] = members
	}
	if spec.Wants(region.CockroachDB) {
		var err error
		if found.authority, err = c.authorityFingerprint(ctx); err != nil {
			return survey{}, err
		}
	}
	return found, nil
}

// membersFor is how many members a quorum gets on so many nodes: an odd number, and more than three help nobody here.
func membersFor(nodes int) int32 {
	if nodes >= 3 {
		return 3
	}
	return 1
}

// members is how many members the part's data was made for: what its first volume says, else its StatefulSet, else what
// is wanted. A running quorum is not resized by changing a number.
func (c *Client) members(ctx context.Context, name string, want int32) (int32, error) {
	volume, err := c.typed.CoreV1().PersistentVolumeClaims(ResourceNamespace).Get(ctx, "data-"+name+"-0", metav1.GetOptions{})
	if err == nil {
		return recorded(volume.Annotations, want), nil
	}
	if !apierrors.IsNotFound(err) {
		return 0, explain(err, "read the volume of %s", name)
	}
	set, err := c.typed.AppsV1().StatefulSets(ResourceNamespace).Get(ctx, name, metav1.GetOptions{})
	if err == nil {
		return recorded(set.Annotations, want), nil
	}
	if !apierrors.IsNotFound(err) {
		return 0, explain(err, "read the StatefulSet of %s", name)
	}
	return want, nil
}

func recorded(annotations map[string]string, want int32) int32 {
	n, err := strconv.ParseInt(annotations[AnnotationMembers], 10, 32)
	if err != nil || n < 1 {
		return want
	}
	return int32(n)
}

// parts are the objects of all wanted parts.
func parts(spec region.Spec, in Parts, found survey) []object {
	builders := map[region.Part]func(region.Spec, Parts, survey) []object{
		region.Etcd: etcd, region.NATS: nats, region.CockroachDB: cockroach, region.API: gateway,
	}
	var all []object
	for _, p := range wantedParts(spec) {
		all = append(all, builders[p](spec, in, found)...)
	}
	return all
}

// kindsOfParts are the resources that parts consist of, but for volumes and secrets, which outlive them.
var kindsOfParts = []schema.GroupVersionResource{
	appsv1.SchemeGroupVersion.WithResource("deployments"),
	appsv1.SchemeGroupVersion.WithResource("statefulsets"),
	batchv1.SchemeGroupVersion.WithResource("jobs"),
	policyv1.SchemeGroupVersion.WithResource("poddisruptionbudgets"),
	corev1.SchemeGroupVersion.WithResource("services"),
	corev1.SchemeGroupVersion.WithResource("configmaps"),
	corev1.SchemeGroupVersion.WithResource("serviceaccounts"),
	rbacv1.SchemeGroupVersion.WithResource("rolebindings"),
	rbacv1.SchemeGroupVersion.WithResource("roles"),
	rbacv1.SchemeGroupVersion.WithResource("clusterrolebindings"),
	rbacv1.SchemeGroupVersion.WithResource("clusterroles"),
}

// leftover is an object with a part's label that the spec has no use for.
type leftover struct {
	resource schema.GroupVersionResource
	object   unstructured.Unstructured
}

func (c *Client) leftovers(ctx context.Context, spec region.Spec) ([]leftover, error) {
	keep := map[string]bool{}
	for _, o := range append(parts(spec, Parts{}, survey{}), once(spec, Parts{})...) {
		w, err := prepare(o)
		if err != nil {
			return nil, err
		}
		keep[w.String()] = true
	}
	var found []leftover
	for _, resource := range kindsOfParts {
		items, err := c.list(ctx, resource, "", LabelPart+","+labelManager+"="+manager)
		if err != nil {
			return nil, err
		}
		for _, u := range items {
			if !keep[described(u.GetKind(), u.GetNamespace(), u.GetName())] && u.GetDeletionTimestamp() == nil {
				found = append(found, leftover{resource, u})
			}
		}
	}
	return found, nil
}
