package control

import (
	"context"
	"errors"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/m3o/platform/internal/fault"
)

func newFailureConverter(codec *Codec) converter.FailureConverter {
	return temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		EncodeCommonAttributes: true,
		DataConverter:          converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), codec),
	})
}

// kinds are the faults that workflows and activities pass on as types of application errors.
var kinds = map[string]fault.Kind{}

func init() {
	for _, k := range []fault.Kind{fault.Invalid, fault.Unauthenticated, fault.Denied, fault.NotFound, fault.Exists, fault.Conflict,
		fault.Quota, fault.Full, fault.Failed, fault.Throttled, fault.Unavailable, fault.Unknown} {
		kinds[string(k)] = k
	}
}

// translate turns Temporal's error into the fault that it was.
func translate(err error) error {
	var app *temporal.ApplicationError
	var notFound *serviceerror.NotFound
	var timeout *temporal.TimeoutError
	var deadline *serviceerror.DeadlineExceeded
	var argument *serviceerror.InvalidArgument
	var ended *temporal.TerminatedError
	var canceled *temporal.CanceledError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &app):
		kind, known := kinds[app.Type()]
		if !known {
			kind = fault.Failed
		}
		return fault.Wrap(kind, err, "%s", app.Message())
	case errors.As(err, &notFound):
		return fault.Wrap(fault.NotFound, err, "nothing of that name is running")
	case errors.As(err, &ended), errors.As(err, &canceled):
		return fault.Wrap(fault.Failed, err, "the workflow was ended before its work was done")
	case errors.As(err, &argument):
		return fault.Wrap(fault.Invalid, err, "the workflow engine refuses the request: %s", argument.Error())
	case errors.As(err, &timeout), errors.As(err, &deadline), errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(fault.Unavailable, err, "the workflow did not answer in time; the work itself goes on")
	}
	return fault.Wrap(fault.Unavailable, err, "the workflow engine does not answer")
}
