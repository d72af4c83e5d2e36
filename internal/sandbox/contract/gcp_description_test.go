//go:build contract

package contract

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// discovery is one of Google's discovery documents, as far as it is looked at.
type discovery struct {
	Name       string                       `json:"name"`
	Revision   string                       `json:"revision"`
	Service    string                       `json:"servicePath"`
	Parameters map[string]discoverySchema   `json:"parameters"`
	Schemas    map[string]discoverySchema   `json:"schemas"`
	Resources  map[string]discoveryResource `json:"resources"`
}

type discoveryResource struct {
	Methods   map[string]discoveryMethod   `json:"methods"`
	Resources map[string]discoveryResource `json:"resources"`
}

type discoveryMethod struct {
	ID         string                     `json:"id"`
	Method     string                     `json:"httpMethod"`
	Path       string                     `json:"path"`
	FlatPath   string                     `json:"flatPath"`
	Parameters map[string]discoverySchema `json:"parameters"`
	Request    *discoverySchema           `json:"request"`
	Response   *discoverySchema           `json:"response"`

	of *discovery
}

type discoverySchema struct {
	Ref        string                     `json:"$ref"`
	Type       string                     `json:"type"`
	Format     string                     `json:"format"`
	Enum       []string                   `json:"enum"`
	Required   bool                       `json:"required"`
	Location   string                     `json:"location"`
	Items      *discoverySchema           `json:"items"`
	Properties map[string]discoverySchema `json:"properties"`
	Additional *discoverySchema           `json:"additionalProperties"`
}

// discoveries are the documents of the services that the sandbox has. They come with the SDK.
func discoveries(t *testing.T) []*discovery {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "google.golang.org/api").Output()
	if err != nil {
		t.Fatalf("find google.golang.org/api: %v", err)
	}
	var all []*discovery
	for _, file := range []string{"container/v1/container-api.json", "compute/v1/compute-api.json", "iam/v1/iam-api.json",
		"cloudresourcemanager/v1/cloudresourcemanager-api.json", "serviceusage/v1/serviceusage-api.json"} {
		data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), file))
		must(t, err)
		var one discovery
		must(t, json.Unmarshal(data, &one))
		all = append(all, &one)
	}
	return all
}

// methods are all of a document's.
func (d *discovery) methods() []discoveryMethod {
	var all []discoveryMethod
	var walk func(map[string]discoveryResource)
	walk = func(resources map[string]discoveryResource) {
		for _, r := range resources {
			for _, m := range r.Methods {
				m.of = d
				all = append(all, m)
			}
			walk(r.Resources)
		}
	}
	walk(d.Resources)
	return all
}

// fits says whether a request is of the method, by its path.
func (m discoveryMethod) fits(r *http.Request) bool {
	path := m.FlatPath
	if path == "" {
		path = m.Path
	}
	pattern, asked := strings.Split(strings.Trim(m.of.Service+path, "/"), "/"), strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if m.Method != r.Method || len(pattern) != len(asked) {
		return false
	}
	for i, p := range pattern {
		name, verb, hasVerb := strings.Cut(p, ":")
		got, gotVerb, gotHas := strings.Cut(asked[i], ":")
		if hasVerb != gotHas || verb != gotVerb || !strings.HasPrefix(name, "{") && name != got {
			return false
		}
	}
	return true
}

// deviants lists where a value differs from a schema, as pointer and words.
func (d *discovery) deviants(schema discoverySchema, value any, at string) map[string]string {
	found := map[string]string{}
	add := func(more map[string]string) {
		for pointer, words := range more {
			found[pointer] = words
		}
	}
	for schema.Ref != "" {
		schema = d.Schemas[schema.Ref]
	}
	wrong := func(words string, args ...any) map[string]string {
		return map[string]string{at: fmt.Sprintf(words, args...)}
	}
	if schema.Type == "any" {
		return found
	}
	switch v := value.(type) {
	case map[string]any:
		if schema.Type != "object" {
			return wrong("it is an object and should be a %s", schema.Type)
		}
		for name, inner := range v {
			property, described := schema.Properties[name]
			switch {
			case described:
				add(d.deviants(property, inner, at+"/"+name))
			case schema.Additional != nil:
				add(d.deviants(*schema.Additional, inner, at+"/*"))
			default:
				found[at+"/"+name] = "there is no such field"
			}
		}
	case []any:
		if schema.Type != "array" {
			return wrong("it is a list and should be a %s", schema.Type)
		}
		for _, item := range v {
			add(d.deviants(*schema.Items, item, at+"/*"))
		}
	case nil:
		return wrong("it is null")
	default:
		if words := schema.scalar(value); words != "" {
			return wrong("%s", words)
		}
	}
	return found
}

// scalar says what is wrong with a text, a number or a boolean.
func (s discoverySchema) scalar(value any) string {
	switch v := value.(type) {
	case bool:
		if s.Type != "boolean" {
			return "it is a boolean and should be a " + s.Type
		}
	case float64:
		whole := v == float64(int64(v))
		if s.Type != "number" && (s.Type != "integer" || !whole) {
			return fmt.Sprintf("it is the number %v and should be a %s (%s)", v, s.Type, s.Format)
		}
	case string:
		if s.Type != "string" {
			return fmt.Sprintf("it is the text %q and should be a %s", v, s.Type)
		}
		if len(s.Enum) > 0 && !slices.Contains(s.Enum, v) {
			return fmt.Sprintf("%q is none of %v", v, s.Enum)
		}
		return s.format(v)
	}
	return ""
}

// format says what is wrong with a text that stands for something else.
func (s discoverySchema) format(text string) string {
	var err error
	switch s.Format {
	case "int64":
		_, err = strconv.ParseInt(text, 10, 64)
	case "uint64":
		_, err = strconv.ParseUint(text, 10, 64)
	case "byte":
		if _, err = base64.StdEncoding.DecodeString(text); err != nil {
			_, err = base64.URLEncoding.DecodeString(text)
		}
	case "google-datetime", "date-time":
		_, err = time.Parse(time.RFC3339Nano, text)
	}
	if err != nil {
		return fmt.Sprintf("%q is not of the format %s", text, s.Format)
	}
	return ""
}
