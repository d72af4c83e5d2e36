package control

import (
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"

	"github.com/m3o/platform/internal/fault"
)

// Converters are how values and errors become what Temporal keeps, and back.
type Converters struct {
	Data     converter.DataConverter
	Failures converter.FailureConverter
}

// Converters encrypt with the codec, and take nothing that is not encrypted.
func (c *Codec) Converters() Converters {
	return Converters{Data: newDataConverter(c), Failures: newFailureConverter(c)}
}

// of are the converters of one workflow.
func (c Converters) of(workflowID string) Converters {
	where := converter.WorkflowSerializationContext{Namespace: Namespace, WorkflowID: workflowID}
	return Converters{Data: converter.WithDataConverterSerializationContext(c.Data, where),
		Failures: converter.WithFailureConverterSerializationContext(c.Failures, where)}
}

// complete is a data converter that refuses fewer payloads than there are values to read. The SDK's own leaves a value that it
// has no payload for as it is, and never asks the codec: whoever sends nothing would command with zero values.
//
// What the SDK reads from nothing by right does not come here: handlers without arguments and results that nobody wants have no
// value to read, and details of heartbeats and failures are asked for after HasValues.
type complete struct{ converter.DataConverter }

var _ converter.DataConverterWithSerializationContext = complete{}

func newDataConverter(codec *Codec) converter.DataConverter {
	return complete{converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), codec)}
}

// WithSerializationContext binds the payloads to the workflow that they are of.
func (c complete) WithSerializationContext(where converter.SerializationContext) converter.DataConverter {
	return complete{converter.WithDataConverterSerializationContext(c.DataConverter, where)}
}

// FromPayloads reads a payload into each value.
func (c complete) FromPayloads(payloads *commonpb.Payloads, values ...any) error {
	if given := len(payloads.GetPayloads()); given < len(values) {
		return fault.New(fault.Denied, "%d payloads were given where %d are read: what is left out is not encrypted with our keys", given, len(values))
	}
	return c.DataConverter.FromPayloads(payloads, values...)
}
