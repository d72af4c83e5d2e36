package control

import (
	"context"
	"errors"
	"slices"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"

	"github.com/m3o/platform/internal/fault"
)

// failures encrypts what failures say, like every payload: they quote what a stranger's program said last. What a failure says
// that is not encrypted is taken from Temporal's server alone.
type failures struct {
	converter.FailureConverter
	codec *Codec
}

func newFailureConverter(codec *Codec) converter.FailureConverter {
	return failures{codec: codec, FailureConverter: temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		EncodeCommonAttributes: true,
		DataConverter:          newDataConverter(codec),
	})}
}

// WithSerializationContext binds what failures say to the workflow that they are of.
func (f failures) WithSerializationContext(where converter.SerializationContext) converter.FailureConverter {
	if codec, ours := f.codec.WithSerializationContext(where).(*Codec); ours {
		return newFailureConverter(codec)
	}
	return f
}

// FailureToError is the error that a failure stands for.
func (f failures) FailureToError(failure *failurepb.Failure) error {
	if failure == nil {
		return nil
	}
	failure = proto.Clone(failure).(*failurepb.Failure)
	for part := failure; part != nil; part = part.GetCause() {
		f.refuse(part)
	}
	return f.FailureConverter.FailureToError(failure)
}

const (
	// unencrypted is the type of a failure that was made with none of our keys.
	unencrypted = "unencrypted"
	// encodedFailure is what the SDK says in the place of what it encoded; Temporal's server cuts off the rest of a long one.
	encodedFailure = "Encoded failure"
)

// servers are the application failures that Temporal's server makes by itself.
var servers = []string{closedUpdate, "UnprocessedUpdate"}

// refuse takes the words out of an application failure that nobody with our keys wrote.
func (f failures) refuse(part *failurepb.Failure) {
	app := part.GetApplicationFailureInfo()
	if app == nil {
		return
	}
	if attributes := part.GetEncodedAttributes(); attributes != nil {
		if _, err := f.codec.Decode([]*commonpb.Payload{attributes}); err == nil {
			return
		}
	}
	words := part.GetMessage()
	part.EncodedAttributes, part.StackTrace, app.Details = nil, "", nil
	switch {
	case slices.Contains(servers, app.GetType()):
	case words != "" && strings.HasPrefix(encodedFailure, words):
		part.Message = "it failed, and Temporal kept nothing of what it said"
	default:
		part.Message, app.Type = "a failure that is not encrypted was refused: something else than a worker of this platform answered in its place", unencrypted
	}
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
		translated := fault.Wrap(kind, err, "%s", app.Message())
		var output string
		if app.HasDetails() { // as activities give them; of others the message says all
			_ = app.Details(&output, &translated.Problems)
		}
		return translated
	case errors.As(err, &notFound):
		return fault.Wrap(fault.NotFound, err, "nothing of that name is running")
	case errors.As(err, &ended), errors.As(err, &canceled):
		return fault.Wrap(fault.Failed, err, "an operator ended the work before it was done")
	case errors.As(err, &argument):
		return fault.Wrap(fault.Invalid, err, "the platform cannot take the request: %s", argument.Error())
	case errors.As(err, &timeout), errors.As(err, &deadline), errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(fault.Unavailable, err, "the platform did not answer in time; the work itself goes on")
	}
	return fault.Wrap(fault.Unavailable, err, "the platform cannot work now: try again in a moment")
}
