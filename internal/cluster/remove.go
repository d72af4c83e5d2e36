package cluster

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// pageSize is how many objects one list call may return.
const pageSize = 250

// list returns everything of one resource that the selector finds; namespace "" means all of them.
func (c *Client) list(ctx context.Context, resource schema.GroupVersionResource, namespace, selector string) ([]unstructured.Unstructured, error) {
	var found []unstructured.Unstructured
	options := metav1.ListOptions{LabelSelector: selector, Limit: pageSize}
	for {
		page, err := c.dynamic.Resource(resource).Namespace(namespace).List(ctx, options)
		if err != nil {
			return nil, explain(err, "list %s", resource.Resource)
		}
		found = append(found, page.Items...)
		if options.Continue = page.GetContinue(); options.Continue == "" {
			return found, nil
		}
	}
}

// remove asks for the end of exactly this object and of what depends on it. Gone, or another of its name, is fine.
func (c *Client) remove(ctx context.Context, resource schema.GroupVersionResource, u unstructured.Unstructured) error {
	uid, propagation := u.GetUID(), metav1.DeletePropagationForeground
	options := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &propagation}
	err := c.dynamic.Resource(resource).Namespace(u.GetNamespace()).Delete(ctx, u.GetName(), options)
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return explain(err, "remove %s", described(u.GetKind(), u.GetNamespace(), u.GetName()))
	}
	return nil
}
