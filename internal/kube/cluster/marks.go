package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// ownedLabels is the annotation that remembers which labels we set, so that one
// that is not wanted any more goes.
const ownedLabels = "m3o.dev/labels"

// limitations are said on every node, for users who expect a cloud's.
var limitations = map[string]string{
	"m3o.dev/enforces-network-policy": "false",
	"m3o.dev/enforces-limits":         "memory", // and not the CPU's
}

// markNode makes the node carry the wanted labels and our annotations. The kubelet
// sets labels only when it registers, so later changes are made here.
func markNode(ctx context.Context, client kubernetes.Interface, node *corev1.Node, labels map[string]string) error {
	patch := nodePatch(node, labels)
	if patch == nil {
		return nil
	}
	data, err := json.Marshal(map[string]any{"metadata": patch})
	if err != nil {
		return fmt.Errorf("label node %s: %w", node.Name, err)
	}
	_, err = client.CoreV1().Nodes().Patch(ctx, node.Name, types.MergePatchType, data, metav1.PatchOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("label node %s: %w", node.Name, err)
	}
	return nil
}

// nodePatch returns what to change, or nil when the node is as wanted.
func nodePatch(node *corev1.Node, labels map[string]string) map[string]any {
	wanted := maps.Clone(limitations)
	wanted[ownedLabels] = strings.Join(slices.Sorted(maps.Keys(labels)), ",")
	annotations, changes := map[string]any{}, map[string]any{}
	for key, value := range wanted {
		if node.Annotations[key] != value {
			annotations[key] = value
		}
	}
	for key, value := range labels {
		if current, ok := node.Labels[key]; !ok || current != value {
			changes[key] = value
		}
	}
	for key := range strings.SplitSeq(node.Annotations[ownedLabels], ",") {
		if _, ok := labels[key]; !ok && key != "" {
			changes[key] = nil
		}
	}
	if len(annotations)+len(changes) == 0 {
		return nil
	}
	return map[string]any{"annotations": annotations, "labels": changes}
}
