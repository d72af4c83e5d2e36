package cluster

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/m3o/platform/internal/diagnosis"
	"github.com/m3o/platform/internal/release"
)

// Rollout is how far a release is in this cluster. Done: it runs as wanted, and nothing of an earlier one runs. Failed: it
// never will, or made no progress for too long. Reason says why it is not done, in words a developer can act on.
type Rollout struct {
	Desired, Ready int
	Done, Failed   bool
	Reason         string
}

// ServiceState looks at the release of the service without changing anything. A service that was not applied is NotFound.
func (c *Client) ServiceState(ctx context.Context, key release.Key, number int) (Rollout, error) {
	d, err := c.typed.AppsV1().Deployments(release.Namespace(key.Project)).Get(ctx, key.Name, metav1.GetOptions{})
	if err != nil {
		return Rollout{}, explain(err, "read the state of %s", key)
	}
	at := deploymentProgress(d)
	r := Rollout{Desired: int(at.desired), Ready: int(at.ready)}
	if runs := d.Spec.Template.Labels[release.LabelRelease]; runs != strconv.Itoa(number) {
		r.Failed, r.Reason = true, fmt.Sprintf("release %s was applied over it", runs)
		return r, nil
	}
	if r.Done = at.done(); r.Done {
		return r, nil
	}
	return c.explainRollout(ctx, d, key, r)
}

// explainRollout says why a release is not there yet, and whether it is to be given up.
func (c *Client) explainRollout(ctx context.Context, d *appsv1.Deployment, key release.Key, r Rollout) (Rollout, error) {
	why, err := c.worst(ctx, d.Namespace, d.Spec.Template.Labels)
	if err != nil {
		return Rollout{}, err
	}
	current := d.Status.ObservedGeneration >= d.Generation
	words := why.Words()
	if refused := condition(d, appsv1.DeploymentReplicaFailure); current && words == "" && refused != nil && refused.Status == corev1.ConditionTrue {
		words = diagnosis.Refused(refused.Message)
	}
	late := condition(d, appsv1.DeploymentProgressing)
	expired := current && late != nil && late.Status == corev1.ConditionFalse && late.Reason == "ProgressDeadlineExceeded"
	r.Failed = current && (why.Certain || expired)
	r.Reason = fmt.Sprintf("%d of %d instances ready", r.Ready, r.Desired)
	if expired && !why.Certain {
		r.Reason += " after " + strings.Replace(startOf(d).String(), "m0s", "m", 1)
	}
	if words != "" {
		r.Reason += ": " + words
	}
	return r, nil
}

// startOf is how long the release's instances may take to become ready.
func startOf(d *appsv1.Deployment) time.Duration {
	return time.Duration(*d.Spec.ProgressDeadlineSeconds) * time.Second // the API server fills it in where nobody says
}

func condition(d *appsv1.Deployment, kind appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for i := range d.Status.Conditions {
		if d.Status.Conditions[i].Type == kind {
			return &d.Status.Conditions[i]
		}
	}
	return nil
}
