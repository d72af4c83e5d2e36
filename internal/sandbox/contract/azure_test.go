//go:build contract

package contract

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/cloud/azure/azuretest"
	"github.com/m3o/platform/internal/cloud/cloudtest"
	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/sandboxtest"
)

// azureCalls are what our adapter calls, by its clients and paths, and the operations that it means.
var azureCalls = map[string]string{
	"addresses.BeginCreateOrUpdate":                  "PublicIPAddresses_CreateOrUpdate",
	"addresses.Get":                                  "PublicIPAddresses_Get",
	"assignments.Create":                             "RoleAssignments_Create",
	"assignments.DeleteByID":                         "RoleAssignments_Delete",
	"assignments.Get":                                "RoleAssignments_Get",
	"assignments.NewListForResourceGroupPager":       "RoleAssignments_ListForResourceGroup",
	"assignments.NewListForSubscriptionPager":        "RoleAssignments_ListForSubscription",
	"clusters.BeginCreateOrUpdate":                   "ManagedClusters_CreateOrUpdate",
	"clusters.BeginDelete":                           "ManagedClusters_Delete",
	"clusters.Get":                                   "ManagedClusters_Get",
	"clusters.ListClusterUserCredentials":            "ManagedClusters_ListClusterUserCredentials",
	"clusters.ListKubernetesVersions":                "ManagedClusters_ListKubernetesVersions",
	"credential.GetToken":                            "Token_Issue",
	"gateways.BeginCreateOrUpdate":                   "NatGateways_CreateOrUpdate",
	"gateways.Get":                                   "NatGateways_Get",
	"groups.BeginDelete":                             "ResourceGroups_Delete",
	"groups.CreateOrUpdate":                          "ResourceGroups_CreateOrUpdate",
	"groups.Get":                                     "ResourceGroups_Get",
	"groups.NewListPager":                            "ResourceGroups_List",
	"identities.CreateOrUpdate":                      "UserAssignedIdentities_CreateOrUpdate",
	"identities.Delete":                              "UserAssignedIdentities_Delete",
	"identities.Get":                                 "UserAssignedIdentities_Get",
	"networks.BeginCreateOrUpdate":                   "VirtualNetworks_CreateOrUpdate",
	"networks.Get":                                   "VirtualNetworks_Get",
	"pools.BeginCreateOrUpdate":                      "AgentPools_CreateOrUpdate",
	"pools.Get":                                      "AgentPools_Get",
	"resources.NewListByResourceGroupPager":          "Resources_ListByResourceGroup",
	"resources.NewListPager":                         "Resources_List",
	"services.Get":                                   "Providers_Get",
	"usages.NewListPager":                            "Usages_List",
	"/locations":                                     "Subscriptions_ListLocations",
	"/providers/Microsoft.Compute/skus":              "ResourceSkus_List",
	"/providers/Microsoft.Compute/locations/":        "Usage_List",
	"/providers/Microsoft.Authorization/permissions": "Permissions_List",
}

// azureDeviations are where the SDK or the sandbox differs from the SDK's models, and why that is right.
var azureDeviations = []deviation{}

// TestAzureAdapter runs the adapter's conformance suite through the check, lost answers and all.
func TestAzureAdapter(t *testing.T) {
	check := newAzureChecker(t, azureDeviations)
	t.Run("conformance", func(t *testing.T) {
		cloudtest.Run(t, func(t *testing.T) cloudtest.Harness {
			account := newAzureAccount(t)
			account.Transport = check.over
			return account.Harness(t)
		})
	})
	expected := []string{"OpenIDConfiguration_Get"}
	for _, operation := range azureCalls {
		expected = append(expected, operation)
	}
	check.finish(expected)
}

// TestAzureCallsAreKnown reads the adapter: a call that is new there must become one here.
func TestAzureCallsAreKnown(t *testing.T) {
	files, err := filepath.Glob("../../cloud/azure/*.go")
	must(t, err)
	calls := regexp.MustCompile(`\b(?:p|provider)\.(\w+\.(?:New|Begin)?(?:Get|Create|Delete|List)\w*)\(`)
	paths := regexp.MustCompile(`p\.below\("([^"?]*)`)
	found := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		must(t, err)
		for _, pattern := range []*regexp.Regexp{calls, paths} {
			for _, match := range pattern.FindAllStringSubmatch(string(text), -1) {
				found[match[1]] = true
			}
		}
	}
	for name := range found {
		if azureCalls[name] == "" {
			t.Errorf("the adapter calls %s, which is not checked: add it to azureCalls", name)
		}
	}
	for name, operation := range azureCalls {
		if !found[name] {
			t.Errorf("the adapter does not call %s any more: remove it from azureCalls", name)
		}
		if _, known := azureModels[operation]; !known {
			t.Errorf("%s (%s) has no models", operation, name)
		}
	}
}

// newAzureAccount is the subscription of a sandbox of its own.
func newAzureAccount(t *testing.T) azuretest.Account {
	t.Helper()
	at := sandboxtest.Start(t, sandbox.Config{})
	return azuretest.Open(t, at.Providers["azure"], at.Control, at.Credentials("azure"), sandbox.AuthorityFile(at.Dir), at.Scale)
}

// spoiled has the body of answers changed on their way.
type spoiled struct {
	next   http.RoundTripper
	change func(*http.Response, string) string
}

// RoundTrip implements http.RoundTripper.
func (s spoiled) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := s.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := drain(&answer.Body)
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(strings.NewReader(s.change(answer, string(body))))
	answer.ContentLength = -1
	return answer, nil
}

// TestTheAzureCheckNotices spoils answers, and sees that the check says so: a check that cannot fail is none.
func TestTheAzureCheckNotices(t *testing.T) {
	for name, spoil := range map[string]func(*http.Response, string) string{
		"a wrong type": func(_ *http.Response, body string) string {
			return strings.Replace(body, `"idleTimeoutInMinutes":4`, `"idleTimeoutInMinutes":"4"`, 1)
		},
		"a key too many": func(_ *http.Response, body string) string {
			return strings.Replace(body, `"properties":{`, `"properties":{"surprise":1,`, 1)
		},
		"a missing header": func(answer *http.Response, body string) string {
			answer.Header.Del("X-Ms-Request-Id")
			return body
		},
		"an error without a code": func(answer *http.Response, _ string) string {
			answer.StatusCode = http.StatusConflict
			return `{"error":{"message":"no"}}`
		},
		"no JSON": func(_ *http.Response, body string) string { return "<html>" + body },
	} {
		var problems []string
		check := newAzureChecker(t, nil)
		check.report = func(problem string) { problems = append(problems, problem) }
		account := newAzureAccount(t)
		account.Transport = func(next http.RoundTripper) http.RoundTripper {
			return check.over(spoiled{next, func(answer *http.Response, body string) string {
				if !strings.Contains(answer.Request.URL.Path, "publicIPAddresses") {
					return body
				}
				return spoil(answer, body)
			}})
		}
		harness := account.Harness(t)
		for range 4 {
			_, _ = harness.Provider.EnsureNetwork(t.Context(), harness.Region.NetworkSpec(), "") // it may stumble over it
		}
		if len(problems) == 0 {
			t.Errorf("%s is not noticed", name)
		}
	}
	unused := newAzureChecker(t, []deviation{{operation: "ResourceGroups_Get", direction: "answer", pointer: "/x", reason: "none"}})
	var problems []string
	unused.report = func(problem string) { problems = append(problems, problem) }
	unused.finish([]string{"ResourceGroups_List"})
	if len(problems) != 2 {
		t.Errorf("an operation that was not seen and a deviation that did not happen: %v", problems)
	}
}
