//go:build contract

package contract

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/getkin/kin-openapi/openapi3"
)

// describedAnswer is what an operation's description says of a status: by itself, or with the default.
func describedAnswer(operation *openapi3.Operation, status int) *openapi3.Response {
	described := operation.Responses.Value(strconv.Itoa(status))
	if described == nil {
		described = operation.Responses.Default()
	}
	if described == nil {
		return nil
	}
	return described.Value
}

// undescribed lists pointers of the fields in value that no part of the schema knows.
func undescribed(schema *openapi3.SchemaRef, value any, at string) []string {
	switch v := value.(type) {
	case map[string]any:
		return undescribedFields(schema, v, at)
	case []any:
		var unknown []string
		for _, item := range v {
			for _, entries := range parts(schema) {
				if entries.Items != nil {
					unknown = append(unknown, undescribed(entries.Items, item, at+"/*")...)
					break
				}
			}
		}
		return unknown
	}
	return nil
}

func undescribedFields(schema *openapi3.SchemaRef, object map[string]any, at string) []string {
	all := parts(schema)
	known := map[string][]*openapi3.SchemaRef{}
	for _, part := range all {
		if part.AdditionalProperties.Has != nil && *part.AdditionalProperties.Has || part.AdditionalProperties.Schema != nil {
			return nil
		}
		for name, field := range part.Properties {
			known[name] = append(known[name], field)
		}
	}
	if len(known) == 0 {
		return nil // an object of any fields, such as labels
	}
	var unknown []string
	for name, value := range object {
		pointer := fmt.Sprintf("%s/%s", at, name)
		if len(known[name]) == 0 {
			unknown = append(unknown, pointer)
			continue
		}
		unknown = append(unknown, undescribed(known[name][0], value, pointer)...)
	}
	return unknown
}

// parts lists a schema and all that it is put together from.
func parts(ref *openapi3.SchemaRef) []*openapi3.Schema {
	if ref == nil || ref.Value == nil {
		return nil
	}
	all := []*openapi3.Schema{ref.Value}
	for _, refs := range []openapi3.SchemaRefs{ref.Value.AllOf, ref.Value.AnyOf, ref.Value.OneOf} {
		for _, one := range refs {
			all = append(all, parts(one)...)
		}
	}
	return all
}

// leftOut lists pointers of the fields that value lacks although the description says what they are when nobody chose: an answer always
// has them, and clients rely on that. An object with such a field is one itself.
func leftOut(schema *openapi3.SchemaRef, value any, at string) []string {
	var missing []string
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			for _, entries := range parts(schema) {
				if entries.Items != nil {
					missing = append(missing, leftOut(entries.Items, item, at+"/*")...)
					break
				}
			}
		}
	case map[string]any:
		for _, part := range parts(schema) {
			for name, field := range part.Properties {
				here := fmt.Sprintf("%s/%s", at, name)
				if has, there := v[name]; there {
					missing = append(missing, leftOut(field, has, here)...)
				} else if defaulted(field, 3) {
					missing = append(missing, here)
				}
			}
		}
	}
	slices.Sort(missing)
	return slices.Compact(missing)
}

func defaulted(ref *openapi3.SchemaRef, depth int) bool {
	for _, part := range parts(ref) {
		if part.Default != nil && !part.WriteOnly {
			return true
		}
		for _, field := range part.Properties {
			if depth > 0 && defaulted(field, depth-1) {
				return true
			}
		}
	}
	return false
}
