package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/m3o/platform/internal/kube/tree"
)

const (
	drainGrace  int64 = 8
	drainLimit        = 12 * time.Second
	drainPoll         = 200 * time.Millisecond
	retireLimit       = time.Minute
)

// retirement removes one node: no new pods, the old ones end in their grace, the
// process ends, and the Node object, pods that are left and files go. Every step
// may be repeated, so a later process can finish what a killed one began.
type retirement struct {
	client  kubernetes.Interface
	name    string
	dir     string
	process *running
	logger  *slog.Logger
}

func (r retirement) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, retireLimit)
	defer cancel()
	var problems []error
	if r.process != nil {
		problems = append(problems, r.cordon(ctx), r.drain(ctx))
		r.process.stop()
		<-r.process.done
	}
	problems = append(problems, r.deletePods(ctx, 0), r.deleteNode(ctx), tree.Remove(r.dir))
	return errors.Join(problems...)
}

func (r retirement) cordon(ctx context.Context) error {
	patch := []byte(`{"spec":{"unschedulable":true}}`)
	_, err := r.client.CoreV1().Nodes().Patch(ctx, r.name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("cordon node %s: %w", r.name, err)
	}
	return nil
}

// drain deletes the node's pods and waits, within limits, for their end.
func (r retirement) drain(ctx context.Context) error {
	if err := r.deletePods(ctx, drainGrace); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	for {
		pods, err := r.pods(ctx)
		if err != nil || len(pods) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			r.logger.Warn("node: pods did not end in time", "node", r.name, "pods", len(pods))
			return nil
		case <-time.After(drainPoll):
		}
	}
}

func (r retirement) pods(ctx context.Context) ([]corev1.Pod, error) {
	list, err := r.client.CoreV1().Pods("").List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("spec.nodeName", r.name).String(),
	})
	if err != nil {
		return nil, fmt.Errorf("list the pods of node %s: %w", r.name, err)
	}
	return list.Items, nil
}

// deletePods gives the node's pods at most grace seconds; with 0 they are gone.
func (r retirement) deletePods(ctx context.Context, grace int64) error {
	pods, err := r.pods(ctx)
	if err != nil {
		return err
	}
	var problems []error
	for _, pod := range pods {
		seconds := grace
		if own := pod.Spec.TerminationGracePeriodSeconds; own != nil {
			seconds = min(seconds, *own)
		}
		err := r.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
			GracePeriodSeconds: &seconds, Preconditions: metav1.NewUIDPreconditions(string(pod.UID)),
		})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			problems = append(problems, fmt.Errorf("delete pod %s/%s: %w", pod.Namespace, pod.Name, err))
		}
	}
	return errors.Join(problems...)
}

func (r retirement) deleteNode(ctx context.Context) error {
	err := r.client.CoreV1().Nodes().Delete(ctx, r.name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete node %s: %w", r.name, err)
	}
	return nil
}
