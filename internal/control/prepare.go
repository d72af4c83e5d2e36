package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	namespacepb "go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/m3o/platform/internal/attribute"
)

// Retention is how long ended workflows can be looked at.
const Retention = 30 * 24 * time.Hour

// How often Temporal is asked whether its parts have heard of a new namespace, and how long that may take.
const (
	preparePoll  = 200 * time.Millisecond
	prepareLimit = time.Minute
)

// Prepare makes the namespace of the settings exist, with the search attributes of the platform's workflows. Ended workflows
// stay there for the retention at least: a namespace that keeps them for longer is left alone. Asking again changes nothing,
// also when several ask at once.
func Prepare(ctx context.Context, s Settings, retention time.Duration) error {
	namespace := cmp.Or(s.Namespace, Namespace)
	c, err := dial(ctx, s, client.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := ensureNamespace(ctx, c.WorkflowService(), namespace, durationpb.New(retention)); err != nil {
		return fmt.Errorf("prepare namespace %s of Temporal: %w", namespace, err)
	}
	ctx, cancel := context.WithTimeout(ctx, prepareLimit)
	defer cancel()
	for {
		err := EnsureAttributes(ctx, c, namespace)
		if err == nil || !passes(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(preparePoll):
		}
	}
}

// passes reports whether an error is one of the first moments: not all of Temporal has heard of the namespace, or somebody
// else adds attributes, too.
func passes(err error) bool {
	var away *serviceerror.Unavailable
	var there *serviceerror.AlreadyExists
	return isUnknown(err) || errors.As(err, &away) || errors.As(err, &there)
}

func isUnknown(err error) bool {
	var unknown *serviceerror.NamespaceNotFound
	var absent *serviceerror.NotFound
	return errors.As(err, &unknown) || errors.As(err, &absent)
}

func ensureNamespace(ctx context.Context, service workflowservice.WorkflowServiceClient, name string, retention *durationpb.Duration) error {
	found, err := service.DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: name})
	if isUnknown(err) {
		_, err = service.RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{Namespace: name, WorkflowExecutionRetentionPeriod: retention,
			Description: "M3O Platform"})
		var there *serviceerror.NamespaceAlreadyExists
		if !errors.As(err, &there) {
			return err // nil, too: it is as it was asked for
		}
		found, err = service.DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: name})
	}
	if err != nil {
		return err
	}
	if found.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration() >= retention.AsDuration() {
		return nil
	}
	_, err = service.UpdateNamespace(ctx, &workflowservice.UpdateNamespaceRequest{Namespace: name,
		Config: &namespacepb.NamespaceConfig{WorkflowExecutionRetentionTtl: retention}})
	return err
}

// EnsureAttributes makes the search attributes of the platform's workflows exist in the namespace.
func EnsureAttributes(ctx context.Context, c client.Client, namespace string) error {
	have, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return fmt.Errorf("list the search attributes of namespace %s: %w", namespace, err)
	}
	missing := map[string]enumspb.IndexedValueType{}
	for _, name := range attribute.Names() {
		kind, found := have.CustomAttributes[name]
		switch {
		case !found:
			missing[name] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
		case kind != enumspb.INDEXED_VALUE_TYPE_KEYWORD:
			return fmt.Errorf("namespace %s has the search attribute %s as %s; ours is a Keyword: rename or remove that one", namespace, name, kind)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: missing})
	if err != nil {
		return fmt.Errorf("add search attributes to namespace %s: %w", namespace, err)
	}
	return nil
}
