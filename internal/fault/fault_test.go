package fault_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/fault"
)

func TestAFaultIsFoundThroughWhatWrapsIt(t *testing.T) {
	cause := errors.New("dial tcp: refused")
	err := fmt.Errorf("ensure network: %w", fault.Wrap(fault.Quota, cause, "limit of %d reached", 3))
	if fault.Of(err) != fault.Quota || !fault.Is(err, fault.Quota) || fault.Is(err, fault.Denied) {
		t.Errorf("it is of kind %s", fault.Of(err))
	}
	if got := fault.Message(err); got != "limit of 3 reached" {
		t.Errorf("users see %q", got)
	}
	if got := err.Error(); got != "ensure network: limit of 3 reached: dial tcp: refused" || !errors.Is(err, cause) {
		t.Errorf("operators see %q", got)
	}
}

func TestTheOutermostFaultCounts(t *testing.T) {
	err := fault.Wrap(fault.Unavailable, fault.New(fault.Conflict, "in the way"), "not now")
	if fault.Of(err) != fault.Unavailable || fault.Message(err) != "not now" {
		t.Errorf("got %s %q", fault.Of(err), fault.Message(err))
	}
}

func TestWhatIsNoFault(t *testing.T) {
	err := errors.New("boom")
	if fault.Of(err) != fault.Unknown || fault.Message(err) != "boom" || fault.Is(nil, fault.Unknown) || fault.Of(nil) != fault.Unknown {
		t.Error("an error that is no fault is of unknown kind, and no error is none")
	}
}

func TestWhatMaySucceedWhenItIsTriedAgain(t *testing.T) {
	again := map[fault.Kind]bool{fault.Throttled: true, fault.Unavailable: true, fault.Unknown: true}
	for _, k := range []fault.Kind{fault.Invalid, fault.Unauthenticated, fault.Denied, fault.NotFound, fault.Exists, fault.Conflict, fault.Quota, fault.Failed,
		fault.Throttled, fault.Unavailable, fault.Unknown} {
		if k.Permanent() == again[k] {
			t.Errorf("%s is permanent: %t", k, k.Permanent())
		}
	}
}

func TestRulesAreCheckedOneByOne(t *testing.T) {
	var c fault.Checker
	c.Check(true, "name", "is wrong")
	if c.Err() != nil || len(c.Problems()) != 0 {
		t.Errorf("a rule that holds: %v", c.Err())
	}
	c.Check(false, "count", "%d is not between 1 and %d", 7, 5)
	c.Check(true, "size", "is wrong")
	c.Check(false, "count", "%d is odd", 7)
	want := []fault.Problem{{Field: "count", Message: "7 is not between 1 and 5"}, {Field: "count", Message: "7 is odd"}}
	if got := c.Problems(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if err := c.Err(); !fault.Is(err, fault.Invalid) || err.Error() != "count: 7 is not between 1 and 5; count: 7 is odd" {
		t.Errorf("got %v", err)
	}
}

func TestAllProblemsAreTold(t *testing.T) {
	if fault.Problems(nil) != nil {
		t.Error("no problems are an error")
	}
	err := fault.Problems([]fault.Problem{{Field: "a", Message: "is wrong"}, {Field: "b[1]", Message: "too"}})
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Invalid || len(f.Problems) != 2 || !strings.Contains(err.Error(), "a: is wrong; b[1]: too") {
		t.Errorf("got %v", err)
	}
}
