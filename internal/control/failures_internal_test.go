package control

import (
	"errors"
	"reflect"
	"testing"

	"go.temporal.io/sdk/temporal"

	"github.com/m3o/platform/internal/fault"
)

// What is wrong with a command's fields, and was found by an activity, is told field by field.
func TestProblemsOfAnActivityReachTheCaller(t *testing.T) {
	want := []fault.Problem{{Field: "env", Message: "300 settings are more than 200"}}
	for name, c := range map[string]struct {
		details []any
		want    []fault.Problem
	}{
		"problems": {[]any{"", want}, want}, "an output": {[]any{"what a compiler said", []fault.Problem(nil)}, nil}, "neither": {nil, nil}, "another detail": {[]any{7}, nil},
	} {
		err := translate(temporal.NewNonRetryableApplicationError("env: 300 settings are more than 200", string(fault.Invalid), nil, c.details...))
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.Invalid || f.Message == "" || !reflect.DeepEqual(f.Problems, c.want) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
