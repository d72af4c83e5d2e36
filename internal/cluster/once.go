package cluster

import (
	"context"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// makeOnce makes what cannot be applied again and again: secrets, whose contents are made here, and jobs, which cannot be
// changed. What is found is kept.
func (c *Client) makeOnce(ctx context.Context, spec region.Spec, in Parts) error {
	if !spec.Wants(region.CockroachDB) {
		return nil
	}
	if err := c.ensureAuthority(ctx, spec.Key()); err != nil {
		return err
	}
	for _, o := range once(spec, in) {
		if err := c.create(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// once are the objects that are created and then left alone.
func once(spec region.Spec, in Parts) []object {
	if !spec.Wants(region.CockroachDB) {
		return nil
	}
	return []object{cockroachInit(spec, in)}
}

// create makes the object unless it is there. A job that gave up is removed, so that the next call makes it again.
func (c *Client) create(ctx context.Context, o object) error {
	w, err := prepare(o)
	if err != nil {
		return err
	}
	live, err := c.live(ctx, w)
	switch {
	case err == nil && gaveUp(live):
		if err := c.remove(ctx, w.resource, *live); err != nil {
			return err
		}
		return fault.New(fault.Unavailable, "%s failed and is made again", w)
	case err == nil:
		return c.mustBeOurs(ctx, w, nil)
	case !apierrors.IsNotFound(err):
		return explain(err, "read %s", w)
	}
	if _, err := c.patch(ctx, w, false, false); err != nil {
		return explain(err, "make %s", w)
	}
	return nil
}

func gaveUp(live *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(live.Object, "status", "conditions")
	for _, condition := range conditions {
		fields, ok := condition.(map[string]any)
		if ok && fields["type"] == string(batchv1.JobFailed) && fields["status"] == string(corev1.ConditionTrue) {
			return true
		}
	}
	return false
}

// secretOnce returns the secret's contents, made if there is none. Two that make it at the same time get the same.
func (c *Client) secretOnce(ctx context.Context, name string, labels map[string]string, contents func() (map[string][]byte, error)) (*corev1.Secret, error) {
	secrets := c.typed.CoreV1().Secrets(ResourceNamespace)
	found, err := secrets.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		data, err := contents()
		if err != nil {
			return nil, err
		}
		secret := &corev1.Secret{ObjectMeta: meta(ResourceNamespace, name, labels), Type: corev1.SecretTypeOpaque, Data: data}
		made, err := secrets.Create(ctx, secret, metav1.CreateOptions{FieldManager: manager})
		if err == nil {
			return made, nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return nil, explain(err, "make secret %s/%s", ResourceNamespace, name)
		}
		found, err = secrets.Get(ctx, name, metav1.GetOptions{})
		return found, explain(err, "read secret %s/%s", ResourceNamespace, name)
	}
	if err == nil && found.Labels[labelManager] != manager {
		return nil, fault.New(fault.Exists, "secret %s/%s is there already, and it is not ours", ResourceNamespace, name)
	}
	return found, explain(err, "read secret %s/%s", ResourceNamespace, name)
}
