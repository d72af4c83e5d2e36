//go:build contract

package contract

import (
	"errors"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
)

// problem is one difference. The pointer says where in the body it is, or else in which parameter; numbers of list entries
// are *.
type problem struct{ pointer, words string }

// problemsOf takes the checks' errors apart, down to the parts of which a schema is put together.
func problemsOf(err error) []problem {
	switch e := err.(type) {
	case nil:
		return nil
	case openapi3.MultiError:
		var all []problem
		for _, one := range e {
			all = append(all, problemsOf(one)...)
		}
		return all
	case *openapi3.SchemaError:
		if e.SchemaField == "allOf" && e.Origin != nil {
			return problemsOf(e.Origin)
		}
		return []problem{{pointerTo(e.JSONPointer()), e.Error()}}
	case *openapi3filter.RequestError:
		if e.Parameter != nil {
			return []problem{{"parameter " + e.Parameter.Name, e.Error()}}
		}
	}
	if inner := errors.Unwrap(err); inner != nil {
		return problemsOf(inner)
	}
	return []problem{{"", err.Error()}}
}

func pointerTo(path []string) string {
	parts := make([]string, len(path))
	for i, part := range path {
		parts[i] = part
		if strings.Trim(part, "0123456789") == "" {
			parts[i] = "*"
		}
	}
	return "/" + strings.Join(parts, "/")
}
