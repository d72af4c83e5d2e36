package digitalocean

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/world"
)

// access gets a cluster's credentials. expires is when the API says that they end; the sandbox's own do not.
func (c *exchange) access() (one cluster, access clusters.Access, expires time.Time, err error) {
	err = c.View(func(tx *world.Tx) error {
		f, err := c.liveFamily(tx)
		if err == nil {
			one = f.cluster
		}
		return err
	})
	if err != nil {
		return one, access, expires, err
	}
	life, err := c.tokenLife()
	if err != nil {
		return one, access, expires, err
	}
	access, err = c.cloud.Runner.Access(c.Request.Context(), one.ID)
	if errors.Is(err, clusters.ErrNotReady) {
		return one, access, expires, &refusal{status: http.StatusNotFound, id: "not_found", message: "the cluster is not ready to be accessed yet"}
	}
	return one, access, c.At.Add(life), err
}

// tokenLife reads expiry_seconds.
func (c *exchange) tokenLife() (time.Duration, error) {
	text := c.Request.URL.Query().Get("expiry_seconds")
	if text == "" || text == "0" {
		return tokenLife, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > int(tokenLife/time.Second)*52 {
		return 0, invalid("expiry_seconds must be a number of seconds")
	}
	return time.Duration(n) * time.Second, nil
}

func getCredentials(c *exchange) (reply, error) {
	_, access, expires, err := c.access()
	return reply{status: http.StatusOK, body: map[string]any{
		"server":                     access.Server,
		"certificate_authority_data": access.CA,
		"client_certificate_data":    access.Certificate,
		"client_key_data":            access.Key,
		"token":                      access.Token,
		"expires_at":                 stamp(expires),
	}}, err
}

// kubeconfig is the file that kubectl reads, in the order of the API's own.
type kubeconfig struct {
	APIVersion     string           `json:"apiVersion"`
	Clusters       []map[string]any `json:"clusters"`
	Contexts       []map[string]any `json:"contexts"`
	CurrentContext string           `json:"current-context"`
	Kind           string           `json:"kind"`
	Preferences    struct{}         `json:"preferences"`
	Users          []map[string]any `json:"users"`
}

func getKubeconfig(c *exchange) (reply, error) {
	one, access, _, err := c.access()
	if err != nil {
		return reply{}, err
	}
	name := "do-" + one.Region + "-" + one.Name
	user := map[string]any{}
	if access.Token != "" {
		user["token"] = access.Token
	}
	if len(access.Certificate) > 0 {
		user["client-certificate-data"], user["client-key-data"] = access.Certificate, access.Key
	}
	target := map[string]any{"server": access.Server}
	if len(access.CA) > 0 {
		target["certificate-authority-data"] = access.CA
	}
	text, err := yaml.Marshal(kubeconfig{
		APIVersion: "v1", Kind: "Config", CurrentContext: name,
		Clusters: []map[string]any{{"name": name, "cluster": target}},
		Contexts: []map[string]any{{"name": name, "context": map[string]any{"cluster": name, "user": name + "-admin"}}},
		Users:    []map[string]any{{"name": name + "-admin", "user": user}},
	})
	return reply{status: http.StatusOK, yaml: text}, err
}
