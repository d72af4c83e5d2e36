//go:build contract

package contract

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "cloud.google.com/go/compute/apiv1/computepb" // registers the messages
)

// checkCompute has computepb's message of the schema read a body of Compute and write it again. It says whether there is such a message.
func (c *gcpChecker) checkCompute(m discoveryMethod, direction string, schema discoverySchema, body []byte) bool {
	message, found := computeMessage(schema.Ref)
	if !found {
		c.judge(m.ID, direction, "computepb", "there is no message "+schema.Ref)
		return false
	}
	for pointer, words := range roundTrip(message, body) {
		c.judge(m.ID, direction, pointer, "by computepb, "+words)
	}
	return true
}

// computeMessage is computepb's message of a schema. computepb is generated from the discovery document and keeps its names.
func computeMessage(schema string) (proto.Message, bool) {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName("google.cloud.compute.v1." + schema))
	if err != nil {
		return nil, false
	}
	return kind.New().Interface(), true
}

// roundTrip has a message read a body and write it again, and lists where the two differ, as pointer and words. An unknown field or enum
// value is dropped when read, so that the comparison says where it was. The comparison also finds what protojson reads and the API does
// not write: names in snake case, an int64 as a number, an int32 as a text, null, empty lists.
func roundTrip(message proto.Message, body []byte) map[string]string {
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, message); err != nil {
		return map[string]string{"": err.Error()}
	}
	written, err := protojson.Marshal(message)
	if err != nil {
		return map[string]string{"": err.Error()}
	}
	var before, after any
	if err := json.Unmarshal(body, &before); err != nil {
		return map[string]string{"": err.Error()}
	}
	if err := json.Unmarshal(written, &after); err != nil {
		return map[string]string{"": err.Error()}
	}
	found := map[string]string{}
	compare(before, after, "", found)
	return found
}

// compare adds to found where two values differ. Entries of lists go by "*".
func compare(before, after any, at string, found map[string]string) {
	switch b := before.(type) {
	case map[string]any:
		a, isObject := after.(map[string]any)
		if !isObject {
			found[at] = "it is no object"
			return
		}
		compareFields(b, a, at, found)
		return
	case []any:
		a, isList := after.([]any)
		if !isList || len(a) != len(b) {
			found[at] = "the list has other entries"
			return
		}
		for i := range b {
			compare(b[i], a[i], at+"/*", found)
		}
		return
	}
	if !reflect.DeepEqual(before, after) {
		found[at] = "the value is written in another form"
	}
}

func compareFields(before, after map[string]any, at string, found map[string]string) {
	for name, value := range before {
		if written, kept := after[name]; kept {
			compare(value, written, at+"/"+name, found)
		} else {
			found[at+"/"+name] = "the field is unknown or lost"
		}
	}
	for name := range after {
		if _, sent := before[name]; !sent {
			found[at+"/"+name] = "the field has another name"
		}
	}
}

// TestComputepbNotices has bodies of Compute be read that differ from computepb in one place each.
func TestComputepbNotices(t *testing.T) {
	for _, one := range []struct {
		schema, body string
		want         []string
	}{
		{"Network", `{"kind":"compute#network","id":"12345678901234567890","IPv4Range":"10.0.0.0/8","mtu":1460,"autoCreateSubnetworks":false}`, nil},
		{"Firewall", `{"allowed":[{"IPProtocol":"tcp","ports":["80"]}],"priority":0}`, nil},
		{"Network", `{"colour":"red"}`, []string{"/colour"}},
		{"Network", `{"peerings":[{"name":"p"},{"colour":"red"}]}`, []string{"/peerings/*/colour"}},
		{"Network", `{"auto_create_subnetworks":false}`, []string{"/autoCreateSubnetworks", "/auto_create_subnetworks"}},
		{"Network", `{"id":5}`, []string{"/id"}},
		{"Network", `{"mtu":"1460"}`, []string{"/mtu"}},
		{"Network", `{"mtu":9999991460}`, []string{""}},
		{"Network", `{"name":"n","name":"m"}`, []string{""}},
		{"Network", `{"name":null}`, []string{"/name"}},
		{"Network", `{"peerings":[]}`, []string{"/peerings"}},
		{"Operation", `{"status":"SLEEPING"}`, []string{"/status"}},
	} {
		message, found := computeMessage(one.schema)
		if !found {
			t.Fatalf("there is no message %s", one.schema)
		}
		if got := slices.Sorted(maps.Keys(roundTrip(message, []byte(one.body)))); !slices.Equal(got, one.want) {
			t.Errorf("%s %s differs at %q, want %q", one.schema, one.body, got, one.want)
		}
	}
}
