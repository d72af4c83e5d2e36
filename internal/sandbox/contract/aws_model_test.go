//go:build contract

package contract

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	_ "github.com/aws/aws-sdk-go" // whose folder models/apis has the services' own models
)

// awsModel is the model of one of AWS' services, as far as it is looked at.
type awsModel struct {
	Metadata struct {
		APIVersion, EndpointPrefix, SigningName, Protocol, TargetPrefix, XMLNamespace string
	} `json:"metadata"`
	Operations map[string]*awsOperation `json:"operations"`
	Shapes     map[string]*awsShape     `json:"shapes"`
}

type awsOperation struct {
	Name string `json:"name"`
	HTTP struct {
		Method     string `json:"method"`
		RequestURI string `json:"requestUri"`
	} `json:"http"`
	Input  *awsRef  `json:"input"`
	Output *awsRef  `json:"output"`
	Errors []awsRef `json:"errors"`

	path *regexp.Regexp
}

// awsRef is where a shape is used.
type awsRef struct {
	Shape         string `json:"shape"`
	Location      string `json:"location"`
	LocationName  string `json:"locationName"`
	QueryName     string `json:"queryName"`
	ResultWrapper string `json:"resultWrapper"`
	Flattened     bool   `json:"flattened"`
}

type awsShape struct {
	Type      string             `json:"type"`
	Members   map[string]*awsRef `json:"members"`
	Required  []string           `json:"required"`
	Member    *awsRef            `json:"member"`
	Key       *awsRef            `json:"key"`
	Value     *awsRef            `json:"value"`
	Enum      []string           `json:"enum"`
	Flattened bool               `json:"flattened"`
	Min       *float64           `json:"min"`
	Max       *float64           `json:"max"`
	Error     struct {
		Code   string `json:"code"`
		Status int    `json:"httpStatusCode"`
	} `json:"error"`
}

// awsModels are the models of the services that the sandbox has, by the names that signatures have for them.
func awsModels(t *testing.T) map[string]*awsModel {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-sdk-go").Output()
	must(t, err)
	models := map[string]*awsModel{}
	for scope, folder := range map[string]string{"ec2": "ec2", "eks": "eks", "iam": "iam", "sts": "sts", "elasticloadbalancing": "elasticloadbalancingv2", "servicequotas": "service-quotas"} {
		files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "models", "apis", folder, "*", "api-2.json"))
		must(t, err)
		if len(files) == 0 {
			t.Fatalf("the SDK has no model of %s", folder)
		}
		data, err := os.ReadFile(slices.Max(files))
		must(t, err)
		model := &awsModel{}
		must(t, json.Unmarshal(data, model))
		for _, o := range model.Operations {
			pattern := regexp.MustCompile(`\\\{[^}]*\\\}`).ReplaceAllString(regexp.QuoteMeta(o.HTTP.RequestURI), "[^/]+")
			o.path = regexp.MustCompile("^" + pattern + "$")
		}
		models[scope] = model
	}
	return models
}

// find is the operation of a request, by the service's protocol.
func (m *awsModel) find(r *http.Request, form map[string]any) (name string, described *awsOperation) {
	switch m.Metadata.Protocol {
	case "ec2", "query":
		name = fmt.Sprint(form["Action"])
		return name, m.Operations[name]
	case "json":
		name = strings.TrimPrefix(r.Header.Get("X-Amz-Target"), m.Metadata.TargetPrefix+".")
		return name, m.Operations[name]
	}
	for name, o := range m.Operations {
		if o.HTTP.Method == r.Method && o.path.MatchString(r.URL.EscapedPath()) {
			return name, o
		}
	}
	return r.Method + " " + r.URL.Path, nil
}

// nested makes a form's flat keys a tree: of maps, and texts at its ends.
func nested(form map[string][]string) map[string]any {
	tree := map[string]any{}
	for key, values := range form {
		at := tree
		steps := strings.Split(key, ".")
		for _, step := range steps[:len(steps)-1] {
			next, is := at[step].(map[string]any)
			if !is {
				next = map[string]any{}
				at[step] = next
			}
			at = next
		}
		at[steps[len(steps)-1]] = values[0]
	}
	return tree
}

// inForm is what a member is called in a form.
func (m *awsModel) inForm(name string, ref *awsRef) string {
	if m.Metadata.Protocol != "ec2" {
		if ref.LocationName != "" {
			return ref.LocationName
		}
		return name
	}
	switch {
	case ref.QueryName != "":
		return ref.QueryName
	case ref.LocationName != "":
		return strings.ToUpper(ref.LocationName[:1]) + ref.LocationName[1:]
	}
	return name
}

// called is what a member is called in an answer.
func (r *awsRef) called(name string) string {
	if r.LocationName != "" {
		return r.LocationName
	}
	return name
}
