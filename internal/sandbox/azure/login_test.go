package azure_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/golang-jwt/jwt/v5"

	"github.com/m3o/platform/internal/sandbox/azure"
)

func TestLoginIsRefusedInTheAuthoritysWords(t *testing.T) {
	s := open(t)
	good := url.Values{"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {secret}, "scope": {"https://management.azure.com/.default"}}
	for _, c := range []struct {
		tenant, key, value, code, words string
		status                          int
	}{
		{tenant, "client_secret", "another", "invalid_client", "AADSTS7000215", http.StatusUnauthorized},
		{tenant, "client_id", tenant, "unauthorized_client", "AADSTS700016", http.StatusBadRequest},
		{"another", "scope", "https://management.azure.com/.default", "invalid_request", "AADSTS90002", http.StatusBadRequest},
		{tenant, "scope", "https://graph.microsoft.com/.default", "invalid_resource", "AADSTS500011", http.StatusBadRequest},
		{tenant, "scope", "openid", "invalid_scope", "AADSTS70011", http.StatusBadRequest},
		{tenant, "grant_type", "password", "unsupported_grant_type", "AADSTS70003", http.StatusBadRequest},
		{tenant, "grant_type", "", "invalid_request", "AADSTS900144", http.StatusBadRequest},
	} {
		form := url.Values{}
		for key, values := range good {
			form[key] = values
		}
		form.Set(c.key, c.value)
		got, err := s.web.PostForm(s.url+"/"+c.tenant+"/oauth2/v2.0/token", form)
		must(t, err)
		data, err := io.ReadAll(got.Body)
		must(t, err)
		must(t, got.Body.Close())
		var body struct {
			Error       string `json:"error"`
			Description string `json:"error_description"`
		}
		must(t, json.Unmarshal(data, &body))
		if got.StatusCode != c.status || body.Error != c.code || !strings.HasPrefix(body.Description, c.words) || strings.Contains(string(data), secret) {
			t.Errorf("%s=%q: %d %s", c.key, c.value, got.StatusCode, data)
		}
	}
}

func TestTokensAreChecked(t *testing.T) {
	s := open(t)
	token, err := s.credential().GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://management.core.windows.net//.default"}})
	must(t, err)
	claims := jwt.MapClaims{}
	_, _, err = jwt.NewParser().ParseUnverified(token.Token, claims)
	must(t, err)
	if claims["tid"] != tenant || claims["oid"] != object || claims["appid"] != client || claims["idtyp"] != "app" || claims["iss"] != "https://sts.windows.net/"+tenant+"/" {
		t.Errorf("its claims are %v", claims)
	}
	// The key set verifies it, as anybody else would.
	keys := s.ask(http.StatusOK, http.MethodGet, "/"+tenant+"/discovery/v2.0/keys", "").body["keys"].([]any)[0].(map[string]any)
	if n := keys["n"].(string); n != base64.RawURLEncoding.EncodeToString(signingKey().N.Bytes()) {
		t.Errorf("the key set is %v", keys)
	}
	sign := func(change func(jwt.MapClaims)) string {
		own := jwt.MapClaims{}
		for k, v := range claims {
			own[k] = v
		}
		change(own)
		signed, err := jwt.NewWithClaims(jwt.SigningMethodRS256, own).SignedString(signingKey())
		must(t, err)
		return signed
	}
	for code, bad := range map[string]string{
		"ExpiredAuthenticationToken":         sign(func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Hour).Unix() }),
		"InvalidAuthenticationTokenAudience": s.login(azure.KubernetesAudience + "/.default"),
		"InvalidAuthenticationToken":         token.Token[:len(token.Token)-4] + "AAAA",
	} {
		s.token = bad
		a := s.refused(http.StatusUnauthorized, code, http.MethodGet, "/subscriptions", "")
		if !strings.Contains(a.header.Get("WWW-Authenticate"), s.url+"/"+tenant) {
			t.Errorf("%s: the challenge is %q", code, a.header.Get("WWW-Authenticate"))
		}
	}
	s.token = sign(func(c jwt.MapClaims) { c["iss"] = "https://sts.windows.net/another/" })
	s.refused(http.StatusUnauthorized, "InvalidAuthenticationToken", http.MethodGet, "/subscriptions", "")
}

func TestVersionsAreChecked(t *testing.T) {
	s := open(t)
	s.refused(http.StatusBadRequest, "MissingApiVersionParameter", http.MethodGet, "/subscriptions?api-version=", "")
	a := s.refused(http.StatusBadRequest, "InvalidApiVersionParameter", http.MethodGet, "/subscriptions?api-version=1999-01-01", "")
	if !strings.Contains(a.at("error", "message"), "2021-04-01") {
		t.Errorf("it names no version: %v", a.body)
	}
	a = s.refused(http.StatusBadRequest, "NoRegisteredProviderFound", http.MethodGet, inSub+"/providers/Microsoft.Network/virtualNetworks?api-version=1999-01-01", "")
	if !strings.Contains(a.at("error", "message"), "2024-05-01") {
		t.Errorf("it names no version: %v", a.body)
	}
	s.refused(http.StatusNotFound, "SubscriptionNotFound", http.MethodGet, "/subscriptions/"+tenant+"/resourceGroups", "")
	s.refused(http.StatusNotFound, "InvalidResourceType", http.MethodGet, onNet+"/applicationGateways/a", "")
	s.refused(http.StatusNotFound, "InvalidResourceNamespace", http.MethodGet, rg+"/providers/Microsoft.Nothing/things/a", "")
	a = s.ask(http.StatusOK, http.MethodGet, inSub, "", "x-ms-client-request-id", "mine", "x-ms-return-client-request-id", "true")
	for _, header := range []string{"x-ms-request-id", "x-ms-correlation-request-id", "x-ms-routing-request-id", "x-ms-ratelimit-remaining-subscription-reads"} {
		if a.header.Get(header) == "" {
			t.Errorf("the answer has no %s", header)
		}
	}
	if a.header.Get("x-ms-client-request-id") != "mine" {
		t.Errorf("the client's id is %q", a.header.Get("x-ms-client-request-id"))
	}
}
