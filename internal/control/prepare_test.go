//go:build embedded

package control_test

import (
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/m3o/platform/internal/attribute"
	"github.com/m3o/platform/internal/control"
)

// retention is how long a namespace keeps ended workflows.
func retention(t *testing.T, namespace string) time.Duration {
	t.Helper()
	found, err := dialled.WorkflowService().DescribeNamespace(t.Context(), &workflowservice.DescribeNamespaceRequest{Namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	return found.Config.WorkflowExecutionRetentionTtl.AsDuration()
}

// at is the tests' server, and a namespace of it.
func at(namespace string) control.Settings {
	return control.Settings{Address: address, Namespace: namespace, Logger: slog.New(slog.DiscardHandler)}
}

func attributesOf(t *testing.T, namespace string) map[string]enumspb.IndexedValueType {
	t.Helper()
	found, err := dialled.OperatorService().ListSearchAttributes(t.Context(), &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	return found.CustomAttributes
}

// A Temporal that has never heard of us is ready after one call, and after many at once.
func TestPrepareMakesWhatIsMissing(t *testing.T) {
	const namespace = "fresh"
	var together sync.WaitGroup
	errs := make([]error, 3)
	for i := range errs {
		together.Go(func() { errs[i] = control.Prepare(t.Context(), at(namespace), control.Retention) })
	}
	together.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if got := retention(t, namespace); got != control.Retention {
		t.Errorf("ended workflows are kept for %s", got)
	}
	have := attributesOf(t, namespace)
	for _, name := range attribute.Names() {
		if have[name] != enumspb.INDEXED_VALUE_TYPE_KEYWORD {
			t.Errorf("search attribute %s is %v", name, have[name])
		}
	}
}

func TestPrepareShortensNoRetention(t *testing.T) {
	const namespace = "kept"
	for _, c := range []struct{ asked, want time.Duration }{{48 * time.Hour, 48 * time.Hour}, {24 * time.Hour, 48 * time.Hour}, {control.Retention, control.Retention}} {
		if err := control.Prepare(t.Context(), at(namespace), c.asked); err != nil {
			t.Fatal(err)
		}
		if got := retention(t, namespace); got != c.want {
			t.Errorf("asked for %s: got %s, want %s", c.asked, got, c.want)
		}
	}
}
