package azure

import (
	"encoding/json"
	"fmt"
)

// ClientFiles are what azure-cli finds in its folder of configuration: the sandbox as a cloud of its own, registered and chosen, the
// subscription, and the service principal, so that no `az login` is needed. The last is a secret. The authority goes by "adfs", as
// azure-cli has every other one that it does not know confirmed by a host of Microsoft's.
func ClientFiles(url, tenant, subscription, client, secret string) map[string][]byte {
	const cloud = "M3OSandbox"
	endpoints := fmt.Sprintf(`[%s]
endpoint_management = %[2]s
endpoint_resource_manager = %[2]s
endpoint_sql_management = %[2]s
endpoint_batch_resource_id = %[2]s
endpoint_gallery = %[2]s
endpoint_active_directory = %[2]s/adfs
endpoint_active_directory_resource_id = %[3]s
endpoint_active_directory_graph_resource_id = %[2]s
endpoint_microsoft_graph_resource_id = %[2]s
`, cloud, url, armAudiences[0])
	profile, err := json.Marshal(map[string]any{"installationId": subscription, "subscriptions": []any{map[string]any{
		"id": subscription, "name": "M3O sandbox", "state": "Enabled", "isDefault": true, "tenantId": tenant, "environmentName": cloud, "homeTenantId": tenant, "managedByTenants": []any{},
		"user": map[string]any{"name": client, "type": "servicePrincipal"}}}})
	if err != nil {
		panic(fmt.Sprintf("the profile is not JSON: %v", err)) // strings: cannot be
	}
	entries, err := json.Marshal([]any{map[string]any{"client_id": client, "tenant": tenant, "client_secret": secret}})
	if err != nil {
		panic(fmt.Sprintf("the entries are not JSON: %v", err))
	}
	return map[string][]byte{
		"clouds.config": []byte(endpoints), "azureProfile.json": profile, "service_principal_entries.json": entries,
		"config": []byte("[cloud]\nname = " + cloud + "\n\n[core]\ncollect_telemetry = no\nno_color = yes\n"),
	}
}

// Environment is what clients need in theirs: azure-cli its folder and the authority that it trusts, the SDKs' environment credential
// its own variables.
func Environment(url, tenant, subscription, client, secret, authorityFile, folder string) map[string]string {
	return map[string]string{
		"AZURE_CONFIG_DIR": folder, "REQUESTS_CA_BUNDLE": authorityFile, "SSL_CERT_FILE": authorityFile,
		"AZURE_TENANT_ID": tenant, "AZURE_CLIENT_ID": client, "AZURE_CLIENT_SECRET": secret, "AZURE_SUBSCRIPTION_ID": subscription,
		"AZURE_AUTHORITY_HOST": url + "/",
		"ARM_ENDPOINT":         url,
	}
}
