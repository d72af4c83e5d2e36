package gcp

import "path/filepath"

// Environment is what clients need in theirs: gcloud and its kubectl plugin their folder, the key file, and where each API is; the SDKs
// the key file. The overrides are properties of gcloud: https://cloud.google.com/sdk/gcloud/reference/topic/configurations.
func Environment(url, credentials, folder string) map[string]string {
	base := url + "/"
	return map[string]string{
		"GOOGLE_APPLICATION_CREDENTIALS":                       credentials,
		"GOOGLE_CLOUD_PROJECT":                                 ProjectID,
		"CLOUDSDK_CONFIG":                                      folder,
		"CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE":               credentials,
		"CLOUDSDK_AUTH_TOKEN_HOST":                             base + "token", // gcloud does not look at the file's token_uri
		"CLOUDSDK_CORE_PROJECT":                                ProjectID,
		"CLOUDSDK_CORE_DISABLE_PROMPTS":                        "1",
		"CLOUDSDK_CORE_DISABLE_USAGE_REPORTING":                "true",
		"CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK":      "true",
		"CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER":            base,
		"CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE":              base + "compute/v1/",
		"CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM":                  base,
		"CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER": base,
		"CLOUDSDK_API_ENDPOINT_OVERRIDES_SERVICEUSAGE":         base,
		"KUBECONFIG":                 filepath.Join(folder, "kubeconfig"),
		"USE_GKE_GCLOUD_AUTH_PLUGIN": "True",
	}
}
