package digitalocean

import "strings"

// Environment is what DigitalOcean's stock clients read from their environment, so that they use the account of that token at the base
// URL: doctl, the Terraform provider and godo's own examples, and python3-digitalocean, which wants the version in the URL.
func Environment(token, url string) map[string]string {
	url = strings.TrimSuffix(url, "/")
	return map[string]string{
		"DIGITALOCEAN_API_URL":      url,
		"DIGITALOCEAN_END_POINT":    url + "/v2/",
		"DIGITALOCEAN_TOKEN":        token,
		"DIGITALOCEAN_ACCESS_TOKEN": token,
	}
}
