package clusters

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// How the platform marks the namespaces it makes: a contract with internal/cluster, as the owner's tag is with
// internal/region.
const (
	labelManager  = "app.kubernetes.io/managed-by"
	labelPlatform = "m3o.dev/platform"
	labelRegion   = "m3o.dev/region"
	manager       = "m3o"
)

// belongs says whether a namespace of the real cluster goes with the cloud's: the platform that owns the cloud's cluster, by
// its tag, made it, and it was not there before. A colleague may have a platform of the same name.
func (c contextCluster) belongs(space corev1.Namespace) bool {
	owner := "m3o:" + space.Labels[labelPlatform] + ":" + space.Labels[labelRegion]
	return space.Labels[labelManager] == manager && slices.Contains(c.Wanted.Tags, owner) && !slices.Contains(c.Namespaces, space.Name)
}

// removeNamespaces removes the namespaces that belong to the cluster, and fails while there are any left.
func (c contextCluster) removeNamespaces(ctx context.Context, client kubernetes.Interface) error {
	spaces, err := client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: labelManager + "=" + manager})
	if err != nil {
		return err
	}
	left := 0
	for _, space := range spaces.Items {
		if !c.belongs(space) {
			continue
		}
		left++
		exactly := metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(space.UID))}
		err := client.CoreV1().Namespaces().Delete(ctx, space.Name, exactly)
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return err
		}
	}
	if left > 0 {
		return fmt.Errorf("%d namespaces are still ending", left)
	}
	return nil
}
