package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

// scripted is a builder that answers what it is told to.
type scripted struct{ err error }

func (s *scripted) BuildImage(context.Context, release.BuildInput) (release.Image, error) {
	return release.Image{Reference: "r@sha256:x"}, s.err
}

func (s *scripted) ResolveImage(ctx context.Context, in release.BuildInput) (release.Image, error) {
	return s.BuildImage(ctx, in)
}

// attempt runs CompileSource once, after so many tries, and returns the error and the tries that the next attempt is told of.
func attempt(t *testing.T, err error, tries int) (*temporal.ApplicationError, int) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	told := tries
	env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		var seen Seen
		if details.Get(&seen) == nil {
			told = seen.Tries
		}
	})
	env.SetHeartbeatDetails(Seen{Tries: tries})
	env.RegisterActivity(&Builds{Builder: &scripted{err}})
	in := release.BuildInput{Service: release.Key{Project: "shop", Name: "hello"}, Number: 3}
	_, failed := env.ExecuteActivity((&Builds{}).CompileSource, in)
	var app *temporal.ApplicationError
	if failed != nil && !errors.As(failed, &app) {
		t.Fatalf("%T: %v", failed, failed)
	}
	return app, told
}

func TestABuildIsTriedANumberOfTimes(t *testing.T) {
	away := fault.New(fault.Unavailable, "the module proxy is away")
	if err, tries := attempt(t, away, 0); err.NonRetryable() || tries != 1 {
		t.Errorf("the first try: %v, %d tries", err, tries)
	}
	if err, _ := attempt(t, away, compileTries-2); err.NonRetryable() {
		t.Errorf("the last but one: %v", err)
	}
	if err, _ := attempt(t, away, compileTries-1); !err.NonRetryable() || !strings.Contains(err.Message(), fmt.Sprintf("tried %d times; at last: the module proxy is away", compileTries)) {
		t.Errorf("the last: %v", err)
	}
}

func TestWaitingForATurnIsNoTry(t *testing.T) {
	busy := fault.New(fault.Throttled, "waits for a free builder: 3 of 3 are taken; 1st in line")
	busy.RetryAfter = 4 * time.Second
	for _, before := range []int{0, compileTries - 1, compileTries + 5} {
		err, tries := attempt(t, busy, before)
		if err.NonRetryable() || err.NextRetryDelay() != 4*time.Second || !strings.Contains(err.Message(), "waits for a free builder") || tries != before {
			t.Errorf("after %d tries: %v, again after %s, %d tries", before, err, err.NextRetryDelay(), tries)
		}
	}
}

// TestCompilerOutputIsInNoLog: the SDK logs the error of every attempt that fails.
func TestCompilerOutputIsInNoLog(t *testing.T) {
	wrong := fault.New(fault.Failed, "the source does not compile")
	wrong.Output = "main.go:3: undefined: SECRET_OF_THE_TENANT"
	err, _ := attempt(t, wrong, 0)
	if !err.NonRetryable() || strings.Contains(err.Error(), "SECRET") || strings.Contains(fmt.Sprintf("%+v", err), "SECRET") || !strings.Contains(err.Message(), "the source does not compile") {
		t.Errorf("logged is %v", err)
	}
	var output string
	if failed := err.Details(&output); failed != nil || output != wrong.Output {
		t.Errorf("its owner is told %q, %v", output, failed)
	}
}

func (s *scripted) RemoveSources(context.Context, string) error { return nil }
