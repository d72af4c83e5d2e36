package cluster

import (
	"context"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

// annotationStanding is the version of the standing that a project's namespace has.
const annotationStanding = "m3o.dev/standing"

// standingManager owns the mark of a suspended project: applying the namespace for a service leaves it alone.
const standingManager = "m3o-standing"

// MarkProject says on the project's namespace whether it is suspended, where gateways look. A standing that is not newer
// than the one there changes nothing. The namespace is made for a project that is suspended before it has anything here, so
// that nothing of it is answered when it comes.
func (c *Client) MarkProject(ctx context.Context, s release.Standing) error {
	name := release.Namespace(s.Project)
	space, err := c.typed.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		if !s.Suspended {
			return nil
		}
		if space, err = c.makeProject(ctx, s.Project); err != nil {
			return err
		}
	} else if err != nil {
		return explain(err, "read namespace %s", name)
	}
	if has, err := strconv.ParseInt(space.Annotations[annotationStanding], 10, 64); err == nil && has >= s.Version {
		return nil
	}
	return c.mark(ctx, space, s)
}

func (c *Client) makeProject(ctx context.Context, name string) (*corev1.Namespace, error) {
	where, err := c.where(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.applyAll(ctx, project(where, name)); err != nil {
		return nil, err
	}
	space, err := c.typed.CoreV1().Namespaces().Get(ctx, release.Namespace(name), metav1.GetOptions{})
	if err != nil {
		return nil, explain(err, "read namespace %s", release.Namespace(name))
	}
	return space, nil
}

// mark writes what was read, so that of two writers at once one is refused and looks again.
func (c *Client) mark(ctx context.Context, space *corev1.Namespace, s release.Standing) error {
	space = space.DeepCopy()
	if space.Annotations == nil {
		space.Annotations = map[string]string{}
	}
	if space.Labels == nil {
		space.Labels = map[string]string{}
	}
	space.Annotations[annotationStanding] = strconv.FormatInt(s.Version, 10)
	if s.Suspended {
		space.Labels[release.LabelSuspended] = "true"
	} else {
		delete(space.Labels, release.LabelSuspended)
	}
	_, err := c.typed.CoreV1().Namespaces().Update(ctx, space, metav1.UpdateOptions{FieldManager: standingManager})
	switch {
	case apierrors.IsConflict(err):
		return fault.Wrap(fault.Unavailable, err, "namespace %s was changed meanwhile", space.Name)
	case apierrors.IsNotFound(err):
		return fault.Wrap(fault.Unavailable, err, "namespace %s went meanwhile", space.Name)
	case err != nil:
		return explain(err, "mark namespace %s", space.Name)
	}
	return nil
}

// DeleteProject asks for the end of the project's namespace with everything in it, and reports whether it is gone. One that
// is not ours is left alone, and reported.
func (c *Client) DeleteProject(ctx context.Context, name string) (gone bool, err error) {
	space, err := c.typed.CoreV1().Namespaces().Get(ctx, release.Namespace(name), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return true, nil
	case err != nil:
		return false, explain(err, "read namespace %s", release.Namespace(name))
	case space.DeletionTimestamp != nil:
		return false, nil
	case space.Labels[labelManager] != manager || space.Labels[release.LabelProject] != name:
		return false, fault.New(fault.Exists, "namespace %s is not ours: it is left alone", space.Name)
	}
	err = c.typed.CoreV1().Namespaces().Delete(ctx, space.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &space.UID}})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return false, explain(err, "remove namespace %s", space.Name)
	}
	return false, nil
}
