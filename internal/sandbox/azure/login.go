package azure

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// What follows is the directory's own protocol, not the Resource Manager's: its errors have another form, and it needs no
// token and no api-version.

// loginError is an error as the authority words it.
type loginError struct {
	status  int
	code    string
	number  int
	message string
}

func (e *loginError) Error() string { return fmt.Sprintf("AADSTS%d: %s", e.number, e.message) }

func (e *loginError) body(id string, at time.Time) map[string]any {
	stamp := at.Format("2006-01-02 15:04:05Z")
	return map[string]any{"error": e.code, "error_codes": []int{e.number}, "timestamp": stamp, "trace_id": id, "correlation_id": id,
		"error_description": fmt.Sprintf("%s Trace ID: %s Correlation ID: %s Timestamp: %s", e.Error(), id, id, stamp),
		"error_uri":         fmt.Sprintf("https://login.microsoftonline.com/error?code=%d", e.number)}
}

// adfs is what the tenant is called by clients that take the authority for a server of Active Directory Federation Services.
const adfs = "adfs"

func (r *request) tenant() error {
	name := r.params["tenant"]
	if strings.EqualFold(name, r.cloud.Account.Tenant) || name == "organizations" || name == "common" || name == adfs {
		return nil
	}
	return &loginError{http.StatusBadRequest, "invalid_request", 90002,
		fmt.Sprintf("Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.", name)}
}

func openIDConfiguration(r *request) (reply, error) {
	if err := r.tenant(); err != nil {
		return reply{}, err
	}
	base := r.base() + "/" + r.params["tenant"]
	return reply{status: http.StatusOK, body: map[string]any{
		"token_endpoint": base + "/oauth2/v2.0/token", "authorization_endpoint": base + "/oauth2/v2.0/authorize",
		"device_authorization_endpoint": base + "/oauth2/v2.0/devicecode", "end_session_endpoint": base + "/oauth2/v2.0/logout",
		"jwks_uri": base + "/discovery/v2.0/keys", "issuer": r.base() + "/" + r.cloud.Account.Tenant + "/v2.0",
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt", "client_secret_basic"},
		"response_modes_supported":              []string{"query", "fragment", "form_post"},
		"subject_types_supported":               []string{"pairwise"}, "id_token_signing_alg_values_supported": []string{"RS256"},
		"response_types_supported": []string{"code", "id_token", "code id_token", "id_token token"},
		"scopes_supported":         []string{"openid", "profile", "email", "offline_access"},
		"claims_supported":         []string{"sub", "iss", "aud", "exp", "iat", "tid", "ver"},
		"tenant_region_scope":      "EU", "cloud_instance_name": "microsoftonline.com", "cloud_graph_host_name": "graph.windows.net",
		"msgraph_host": "graph.microsoft.com", "rbac_url": "https://pas.windows.net"}}, nil
}

func instanceDiscovery(r *request) (reply, error) {
	host := r.http.Host
	return reply{status: http.StatusOK, body: map[string]any{
		"tenant_discovery_endpoint": r.base() + "/" + r.cloud.Account.Tenant + "/v2.0/.well-known/openid-configuration",
		"api-version":               "1.1",
		"metadata":                  []map[string]any{{"preferred_network": host, "preferred_cache": host, "aliases": []string{host}}}}}, nil
}

func signingKeys(r *request) (reply, error) {
	return reply{status: http.StatusOK, body: r.cloud.authority.keys()}, r.tenant()
}

// issueToken serves the client credentials grant, which is all that an application needs.
func issueToken(r *request) (reply, error) {
	if err := r.tenant(); err != nil {
		return reply{}, err
	}
	form, err := url.ParseQuery(string(r.body))
	if err != nil {
		return reply{}, &loginError{http.StatusBadRequest, "invalid_request", 9000410, "Malformed form."}
	}
	if err := r.checkClient(form); err != nil {
		return reply{}, err
	}
	audience, err := r.audience(form.Get("scope"))
	if err != nil {
		return reply{}, err
	}
	token, err := r.cloud.authority.issue(audience)
	life := int(tokenLife/time.Second) - 1
	return reply{status: http.StatusOK, body: map[string]any{
		"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": token}}, err
}

// checkClient checks the grant and the client's secret. Secrets are compared by digest, so that neither content nor length leaks
// through time.
func (r *request) checkClient(form url.Values) error {
	if grant := form.Get("grant_type"); grant == "" {
		return &loginError{http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the following parameter: 'grant_type'."}
	} else if grant != "client_credentials" {
		return &loginError{http.StatusBadRequest, "unsupported_grant_type", 70003, fmt.Sprintf("The app requested an unsupported grant type '%s'.", grant)}
	}
	client, secret := form.Get("client_id"), form.Get("client_secret")
	if user, password, basic := r.http.BasicAuth(); basic {
		client, secret = user, password
	}
	account := r.cloud.Account
	if !strings.EqualFold(client, account.Client) {
		return &loginError{http.StatusBadRequest, "unauthorized_client", 700016,
			fmt.Sprintf("Application with identifier '%s' was not found in the directory '%s'.", client, account.Tenant)}
	}
	got, want := sha256.Sum256([]byte(secret)), sha256.Sum256([]byte(account.Secret))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return &loginError{http.StatusUnauthorized, "invalid_client", 7000215,
			fmt.Sprintf("Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, "+
				"not the client secret ID, for a secret added to app '%s'.", account.Client)}
	}
	return nil
}

// audience is what a token for the scope is for.
func (r *request) audience(scope string) (string, error) {
	for _, one := range strings.Fields(scope) {
		resource, isDefault := strings.CutSuffix(one, "/.default")
		if !isDefault {
			continue // openid, offline_access, profile
		}
		if strings.TrimSuffix(resource, "/") == KubernetesAudience {
			return KubernetesAudience, nil
		}
		for _, known := range r.cloud.audiences(r.base()) {
			if resource == known {
				return resource, nil
			}
		}
		return "", &loginError{http.StatusBadRequest, "invalid_resource", 500011,
			fmt.Sprintf("The resource principal named %s was not found in the tenant named %s.", resource, r.cloud.Account.Tenant)}
	}
	return "", &loginError{http.StatusBadRequest, "invalid_scope", 70011,
		fmt.Sprintf("The provided value for the input parameter 'scope' is not valid. The scope %s is not valid.", scope)}
}

// audiences are those of the Resource Manager here.
func (c *Cloud) audiences(base string) []string {
	return append([]string{base, base + "/"}, armAudiences...)
}

// cloudMetadata is what `az cloud register` reads to learn where everything is.
func cloudMetadata(r *request) (reply, error) {
	base := r.base()
	version := r.http.URL.Query().Get("api-version")
	one := map[string]any{
		"name": "M3OSandbox", "portal": base, "galleryEndpoint": base, "gallery": base, "graphEndpoint": base, "graph": base, "graphAudience": base,
		"resourceManager": base, "batch": base, "media": base, "microsoftGraphResourceId": base,
		"activeDirectoryDataLake": base, "sqlManagement": base, "vmImageAliasDoc": base,
		"authentication": map[string]any{"loginEndpoint": base, "audiences": []string{armAudiences[0], armAudiences[2]},
			"tenant": "common", "identityProvider": "AAD"},
		"suffixes": map[string]any{"storage": "core.windows.net", "keyVaultDns": "vault.azure.net", "sqlServerHostname": "database.windows.net",
			"acrLoginServer": "azurecr.io"}}
	if version == "2015-01-01" {
		return reply{status: http.StatusOK, body: one}, nil
	}
	return reply{status: http.StatusOK, body: []any{one}}, nil
}

// opaque makes the query of a polling URL look as long and as meaningless as the real, signed one; nobody may rely on it.
func opaque(id string) string {
	sum := sha256.Sum256([]byte(id))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
