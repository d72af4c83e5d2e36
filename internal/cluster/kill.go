package cluster

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/m3o/platform/internal/release"
)

var (
	deployments = appsv1.SchemeGroupVersion.WithResource("deployments")
	services    = corev1.SchemeGroupVersion.WithResource("services")
	budgets     = policyv1.SchemeGroupVersion.WithResource("poddisruptionbudgets")
	pods        = corev1.SchemeGroupVersion.WithResource("pods")
)

// DeleteService asks for the end of the service in this cluster; it does not wait (ServiceGone tells). Gone is fine. Other
// services of the project are left alone.
func (c *Client) DeleteService(ctx context.Context, key release.Key) error {
	for _, resource := range []schema.GroupVersionResource{services, deployments, budgets} {
		if err := c.removeOwned(ctx, resource, key); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) removeOwned(ctx context.Context, resource schema.GroupVersionResource, key release.Key) error {
	items, err := c.list(ctx, resource, release.Namespace(key.Project), ownedBy(key))
	if err != nil {
		return err
	}
	for _, u := range items {
		if u.GetDeletionTimestamp() != nil {
			continue
		}
		if err := c.remove(ctx, resource, u); err != nil {
			return err
		}
	}
	return nil
}

// ownedBy finds what ApplyService made for the service, pods included.
func ownedBy(key release.Key) string {
	return labels.SelectorFromSet(with(serviceSelector(key), map[string]string{release.LabelManaged: "true"})).String()
}

// ServiceGone reports whether nothing of the service is left, its last pod included.
func (c *Client) ServiceGone(ctx context.Context, key release.Key) (bool, error) {
	for _, resource := range []schema.GroupVersionResource{services, deployments, budgets, pods} {
		items, err := c.list(ctx, resource, release.Namespace(key.Project), ownedBy(key))
		if err != nil || len(items) > 0 {
			return false, err
		}
	}
	return true, nil
}
