package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/m3o/platform/internal/fault"
)

// object is a Kubernetes object as a Go struct of k8s.io/api.
type object interface {
	metav1.Object
	runtime.Object
}

// wanted is an object on its way to the API server: what we say about it, and nothing else.
type wanted struct {
	resource        schema.GroupVersionResource
	kind            string
	namespace, name string
	body            []byte
}

func (w wanted) String() string { return described(w.kind, w.namespace, w.name) }

func described(kind, namespace, name string) string {
	if namespace == "" {
		return strings.ToLower(kind) + " " + name
	}
	return strings.ToLower(kind) + " " + namespace + "/" + name
}

// prepare turns an object into what server-side apply sends.
func prepare(o object) (wanted, error) {
	kinds, _, err := scheme.Scheme.ObjectKinds(o)
	if err != nil {
		return wanted{}, fmt.Errorf("kind of %s: %w", o.GetName(), err)
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return wanted{}, fmt.Errorf("fields of %s %s: %w", kinds[0].Kind, o.GetName(), err)
	}
	delete(fields, "status")
	u := unstructured.Unstructured{Object: fields}
	u.SetGroupVersionKind(kinds[0])
	body, err := json.Marshal(u.Object)
	if err != nil {
		return wanted{}, fmt.Errorf("encode %s %s: %w", kinds[0].Kind, o.GetName(), err)
	}
	resource, _ := apimeta.UnsafeGuessKindToResource(kinds[0])
	return wanted{resource, kinds[0].Kind, o.GetNamespace(), o.GetName(), body}, nil
}

// applyAll applies the objects in their order and stops at the first that is refused.
func (c *Client) applyAll(ctx context.Context, objects []object) error {
	for _, o := range objects {
		w, err := prepare(o)
		if err != nil {
			return err
		}
		if _, err := c.apply(ctx, w, false); err != nil {
			return err
		}
	}
	return nil
}

// apply writes what we want of one object. Fields that another manager took are taken back if the object is ours; if it is
// not, the fault is Exists and nothing is changed.
func (c *Client) apply(ctx context.Context, w wanted, dryRun bool) (*unstructured.Unstructured, error) {
	applied, err := c.patch(ctx, w, false, dryRun)
	if err != nil && apierrors.IsConflict(err) && foreign(err) {
		if err := c.mustBeOurs(ctx, w, err); err != nil {
			return nil, err
		}
		applied, err = c.patch(ctx, w, true, dryRun)
	}
	if err != nil {
		return nil, explain(err, "apply %s", w)
	}
	if applied.GetDeletionTimestamp() != nil {
		return nil, fault.New(fault.Unavailable, "%s is being removed; it can be made again when that is over", w)
	}
	return applied, nil
}

func (c *Client) patch(ctx context.Context, w wanted, force, dryRun bool) (*unstructured.Unstructured, error) {
	options := metav1.PatchOptions{FieldManager: manager, Force: &force, FieldValidation: metav1.FieldValidationStrict}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	return c.resource(w).Patch(ctx, w.name, types.ApplyPatchType, w.body, options)
}

func (c *Client) mustBeOurs(ctx context.Context, w wanted, conflict error) error {
	live, err := c.live(ctx, w)
	if err != nil {
		return explain(err, "read %s", w)
	}
	if live.GetLabels()[labelManager] == manager {
		return nil
	}
	return fault.Wrap(fault.Exists, conflict, "%s is there already, and it is not ours", w)
}

func (c *Client) live(ctx context.Context, w wanted) (*unstructured.Unstructured, error) {
	return c.resource(w).Get(ctx, w.name, metav1.GetOptions{})
}

func (c *Client) resource(w wanted) dynamic.ResourceInterface {
	if w.namespace == "" {
		return c.dynamic.Resource(w.resource)
	}
	return c.dynamic.Resource(w.resource).Namespace(w.namespace)
}
