package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apimachineryversion "k8s.io/apimachinery/pkg/version"

	"github.com/m3o/platform/internal/region"
)

// Version is the version that the API server says it is, without the leading v ("1.34.1").
func (c *Client) Version(ctx context.Context) (string, error) {
	body, err := c.typed.Discovery().RESTClient().Get().AbsPath("/version").DoRaw(ctx)
	if err != nil {
		return "", explain(err, "ask the API server for its version")
	}
	var info apimachineryversion.Info
	if err := json.Unmarshal(body, &info); err != nil {
		return "", explain(err, "read the API server's version")
	}
	return strings.TrimPrefix(info.GitVersion, "v"), nil
}

// Verify looks whether the cluster can hold a region, and says in words what it lacks: a default StorageClass, and what enforces
// NetworkPolicy on every node. The second may be lacking where the spec allows it. Nothing is changed.
func (c *Client) Verify(ctx context.Context, spec region.Spec) (found region.Verified, lacks []string, err error) {
	of, err := distributionOf(spec.Provider)
	if err != nil {
		return region.Verified{}, nil, err
	}
	if found.StorageClass, err = c.defaultStorage(ctx); err != nil {
		return region.Verified{}, nil, err
	}
	if found.StorageClass == "" {
		lacks = append(lacks, fmt.Sprintf("the cluster has no default StorageClass: parts keep their data in its volumes (that of %s is %s)", of.name, of.storage))
	}
	engine, trouble, err := c.enforces(ctx, of)
	if err != nil {
		return region.Verified{}, nil, err
	}
	if engine != "" {
		found.NetworkPolicy, found.Engine = region.Enforced, engine
		return found, lacks, nil
	}
	found.NetworkPolicy = region.Unenforced
	if spec.Unenforced != region.Allow {
		lacks = append(lacks, fmt.Sprintf("nothing in the cluster enforces NetworkPolicy, so that the pods of all projects reach each other and the parts: %s; "+
			"\"unenforced: allow\" in the platform file takes the cluster as it is", trouble))
	}
	return found, lacks, nil
}

// The annotation that makes a StorageClass the default one; of several, the newest is.
const defaultClass = "storageclass.kubernetes.io/is-default-class"

func (c *Client) defaultStorage(ctx context.Context) (string, error) {
	classes, err := c.typed.StorageV1().StorageClasses().List(ctx, metav1.ListOptions{Limit: pageSize})
	if err != nil {
		return "", explain(err, "list the StorageClasses")
	}
	list := slices.DeleteFunc(classes.Items, func(s storagev1.StorageClass) bool { return s.Annotations[defaultClass] != "true" })
	if len(list) == 0 {
		return "", nil
	}
	return slices.MaxFunc(list, func(a, b storagev1.StorageClass) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) }).Name, nil
}

// enforces names the engine that enforces NetworkPolicy on every node, or says why none of the distribution's does.
func (c *Client) enforces(ctx context.Context, of distribution) (name, trouble string, err error) {
	troubles := make([]string, 0, len(of.engines))
	for _, e := range of.engines {
		trouble, err := c.idle(ctx, e)
		if err != nil {
			return "", "", err
		}
		if trouble == "" {
			return e.String(), "", nil
		}
		troubles = append(troubles, e.String()+" "+trouble)
	}
	return "", strings.Join(troubles, ", "), nil
}

// idle says why the engine enforces nothing, or not everywhere; "" when it does.
func (c *Client) idle(ctx context.Context, e engine) (string, error) {
	set, err := c.typed.AppsV1().DaemonSets(e.namespace).Get(ctx, e.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "is not there", nil
	}
	if err != nil {
		return "", explain(err, "read the %s", e)
	}
	if ready, wanted := set.Status.NumberReady, set.Status.DesiredNumberScheduled; wanted == 0 || ready < wanted {
		return fmt.Sprintf("is ready on %d of %d nodes", ready, wanted), nil
	}
	if e.off == nil {
		return "", nil
	}
	return e.off(ctx, c, set)
}

// switchedOff says why an engine that runs enforces nothing, "" when it does.
type switchedOff func(context.Context, *Client, *appsv1.DaemonSet) (string, error)

// ciliumNeverEnforces reads Cilium's own configuration: policies are obeyed unless it says never.
func ciliumNeverEnforces(ctx context.Context, c *Client, set *appsv1.DaemonSet) (string, error) {
	config, err := c.typed.CoreV1().ConfigMaps(set.Namespace).Get(ctx, "cilium-config", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", explain(err, "read the configuration of Cilium")
	}
	if config.Data["enable-policy"] == "never" {
		return "runs with enable-policy: never", nil
	}
	return "", nil
}

// agentIsNotAsked: the VPC CNI runs in every EKS cluster. It enforces policies when the agent beside it is told to.
func agentIsNotAsked(_ context.Context, _ *Client, set *appsv1.DaemonSet) (string, error) {
	for _, container := range set.Spec.Template.Spec.Containers {
		if slices.Contains(container.Args, "--enable-network-policy=true") {
			return "", nil
		}
	}
	return "runs without --enable-network-policy=true", nil
}
