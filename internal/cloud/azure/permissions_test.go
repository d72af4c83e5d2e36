package azure_test

import (
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/m3o/platform/deploy/workers"
	"github.com/m3o/platform/internal/cloud/azure"
)

var update = flag.Bool("update", false, "write the role's actions anew")

const workerFolder = "../../../deploy/workers/azure/"

// role is a custom role as `az role definition create` reads it.
type role struct {
	Name             string   `json:"Name"`
	IsCustom         bool     `json:"IsCustom"`
	Description      string   `json:"Description"`
	Actions          []string `json:"Actions"`
	NotActions       []string `json:"NotActions"`
	DataActions      []string `json:"DataActions"`
	NotDataActions   []string `json:"NotDataActions"`
	AssignableScopes []string `json:"AssignableScopes"`
}

// TestTheRoleIsWhatTheOperationsNeed and no more. `go test ./internal/cloud/azure -run Role -update` after a look.
func TestTheRoleIsWhatTheOperationsNeed(t *testing.T) {
	if *update {
		data, err := json.MarshalIndent(role{Name: "M3O worker", IsCustom: true, Description: "What a worker of the M3O platform does in a subscription.",
			Actions: azure.Permissions(), NotActions: []string{}, DataActions: []string{}, NotDataActions: []string{}, AssignableScopes: []string{"/subscriptions/SUBSCRIPTION"}}, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(workerFolder+"policy.json", append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var written role
	document := workerpolicy.Of("azure")
	if *update {
		document, _ = os.ReadFile(workerFolder + "policy.json")
	}
	if err := json.Unmarshal(document, &written); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(written.Actions, azure.Permissions()) {
		t.Errorf("the role has %v, the operations need %v", written.Actions, azure.Permissions())
	}
	if len(written.NotActions)+len(written.DataActions)+len(written.NotDataActions) > 0 || !written.IsCustom || len(written.AssignableScopes) == 0 {
		t.Errorf("the role is %+v", written)
	}
	for _, action := range written.Actions {
		if strings.Contains(action, "*") {
			t.Errorf("%s allows more than its operation needs", action)
		}
	}
}

// TestTheConditionNamesTheRolesThatAreGiven: with another list the worker could make itself owner, or could not do its work.
func TestTheConditionNamesTheRolesThatAreGiven(t *testing.T) {
	text, err := os.ReadFile(workerFolder + "condition.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, given := range azure.Roles() {
		if strings.Count(string(text), given) != 2 {
			t.Errorf("the condition does not name the role %s for both making and removing assignments", given)
		}
	}
	if got := strings.Count(string(text), "-"); got != 4*2*len(azure.Roles()) {
		t.Error("the condition names other roles, too")
	}
}

func TestEveryPathIsOneOperation(t *testing.T) {
	for _, o := range azure.Operations {
		path := strings.ReplaceAll(strings.ReplaceAll(o.Path, "{scope}", "/subscriptions/s/resourceGroups/g/providers/Some.Type/things/one"), "{}", "x")
		if found := azure.OperationOf(o.Method, strings.ToUpper(path)); found == nil || found.Name != o.Name {
			t.Errorf("%s %s is taken for %+v, not for %s", o.Method, path, found, o.Name)
		}
		if len(o.Permissions) == 0 {
			t.Errorf("%s needs no permission?", o.Name)
		}
	}
	if found := azure.OperationOf("POST", "/tenant/oauth2/v2.0/token"); found != nil {
		t.Errorf("a token is asked for by %s", found.Name)
	}
}

// TestTheWorkersFilesAreWhole: the machine's and the cluster's are YAML, and tell the worker the same settings.
func TestTheWorkersFilesAreWhole(t *testing.T) {
	var told [][]string
	for _, name := range []string{"cloud-init.yaml", "worker.yaml"} {
		text, err := os.ReadFile(workerFolder + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, document := range strings.Split(string(text), "\n---\n") {
			var any map[string]any
			if err := yaml.Unmarshal([]byte(document), &any); err != nil || len(any) == 0 {
				t.Errorf("%s: %v", name, err)
			}
		}
		var names []string
		for _, word := range strings.FieldsFunc(string(text), func(r rune) bool { return !(r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_') }) {
			if strings.HasPrefix(word, "M3O_") && word != "M3O_WORKERS" && !strings.HasPrefix(word, "M3O_PROGRAM") && word != "M3O_VAULT" && !slices.Contains(names, word) {
				names = append(names, word)
			}
		}
		slices.Sort(names)
		told = append(told, names)
	}
	if !slices.Equal(told[0], told[1]) {
		t.Errorf("the machine's worker is told %v, the cluster's %v", told[0], told[1])
	}
}
