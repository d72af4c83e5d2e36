package azure_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestWhatIsOffered asks what a preflight asks.
func TestWhatIsOffered(t *testing.T) {
	s := open(t)
	s.cluster()
	sizes := s.ask(http.StatusOK, http.MethodGet, inSub+"/providers/Microsoft.Compute/skus?$filter=location%20eq%20'westus'", "")
	if all := text(t, sizes.body); !strings.Contains(all, `"Standard_D2s_v5"`) || strings.Contains(all, `"Standard_NC6s_v3"`) || strings.Contains(all, "westeurope") || strings.Contains(all, `"zones":["1"`) {
		t.Errorf("the sizes of westus are %s", all)
	}
	s.refused(http.StatusBadRequest, "BadRequest", http.MethodGet, inSub+"/providers/Microsoft.Compute/skus?$filter=name%20eq%20'a'", "")
	for path, want := range map[string]string{
		"Microsoft.Compute/locations/westeurope/usages":                      `"currentValue":4,"limit":100,"name":{"localizedValue":"Total Regional vCPUs","value":"cores"}`,
		"Microsoft.Network/locations/westeurope/usages":                      `"currentValue":1,`,
		"Microsoft.ContainerService/locations/westeurope/kubernetesVersions": `"version":"1.37"`,
		"Microsoft.ContainerService/locations/westeurope/orchestrators":      `"orchestratorVersion":"1.34.2"`,
	} {
		if a := s.ask(http.StatusOK, http.MethodGet, inSub+"/providers/"+path, ""); !strings.Contains(text(t, a.body), want) {
			t.Errorf("%s: %v", path, a.body)
		}
		s.refused(http.StatusBadRequest, "NoRegisteredProviderFound", http.MethodGet, inSub+"/providers/"+strings.Replace(path, "westeurope", "atlantis", 1), "")
	}
	for path, want := range map[string]string{"/subscriptions": subscription, "/tenants": tenant, inSub + "/locations": `"availabilityZoneMappings"`,
		inSub + "/providers": "Microsoft.ManagedIdentity", inSub + "/providers/microsoft.storage": `"registrationState":"Registered"`} {
		if a := s.ask(http.StatusOK, http.MethodGet, path, ""); !strings.Contains(text(t, a.body), want) {
			t.Errorf("%s: %v", path, a.body)
		}
	}
	s.ask(http.StatusOK, http.MethodPost, inSub+"/providers/Microsoft.Network/register", "")
	s.refused(http.StatusNotFound, "InvalidResourceNamespace", http.MethodGet, inSub+"/providers/Microsoft.Nothing", "")
	s.ask(http.StatusNoContent, http.MethodHead, rg, "")
	s.ask(http.StatusNotFound, http.MethodHead, rg+"none", "")
	tagged := s.ask(http.StatusOK, http.MethodPatch, rg, `{"tags":{"a":"b"}}`)
	if tagged.at("tags", "a") != "b" || tagged.at("location") != "westeurope" {
		t.Errorf("the group is %v", tagged.body)
	}
	tagged = s.ask(http.StatusOK, http.MethodPatch, onNet+"/natGateways/nat", `{"tags":{"a":"b"}}`)
	if tagged.at("tags", "a") != "b" || tagged.at("sku", "name") != "Standard" {
		t.Errorf("the gateway is %v", tagged.body)
	}
	s.ask(http.StatusOK, http.MethodPatch, onAKS+"/eu", `{"tags":{"a":"b"}}`)
	if a := s.until("Succeeded", onAKS+"/eu"); a.at("tags", "a") != "b" {
		t.Errorf("the cluster is %v", a.body)
	}
}

// TestFederatedCredentials lets a workload of a cluster act as an identity.
func TestFederatedCredentials(t *testing.T) {
	s := open(t)
	s.ask(http.StatusCreated, http.MethodPut, rg, `{`+location+`}`)
	const body = `{"properties":{"issuer":"https://issuer.example/","subject":"system:serviceaccount:a:b","audiences":["api://AzureADTokenExchange"]}}`
	s.refused(http.StatusNotFound, "ParentResourceNotFound", http.MethodPut, onID+"/workload/federatedIdentityCredentials/k8s", body)
	s.ask(http.StatusCreated, http.MethodPut, onID+"/workload", `{`+location+`}`)
	s.ask(http.StatusCreated, http.MethodPut, onID+"/workload/federatedIdentityCredentials/k8s", body)
	s.ask(http.StatusOK, http.MethodPut, onID+"/workload/federatedIdentityCredentials/k8s", body)
	s.refused(http.StatusConflict, "Conflict", http.MethodPut, onID+"/workload/federatedIdentityCredentials/twin", body)
	s.refused(http.StatusBadRequest, "BadRequest", http.MethodPut, onID+"/workload/federatedIdentityCredentials/empty", `{"properties":{}}`)
	if n := len(s.ask(http.StatusOK, http.MethodGet, onID+"/workload/federatedIdentityCredentials", "").body["value"].([]any)); n != 1 {
		t.Errorf("%d are listed", n)
	}
	s.ask(http.StatusOK, http.MethodDelete, onID+"/workload", "")
	s.ask(http.StatusNoContent, http.MethodDelete, onID+"/workload", "")
	s.ask(http.StatusAccepted, http.MethodDelete, rg, "")
	s.until("", rg)
	s.checkLedger(true)
}
