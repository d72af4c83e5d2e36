package azure

import (
	"context"
	"errors"
	"net/http"

	"sigs.k8s.io/yaml"

	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/world"
)

// clusterData is every data action on a cluster, which is what its administrator has.
const clusterData = "Microsoft.ContainerService/managedClusters/*/write"

// Authenticate says whose an access token is, for a cluster's API server: tokens of the directory for the application of all of them,
// in clusters that trust it. Whom a role makes the cluster's administrator is in its group of administrators.
func (c *Cloud) Authenticate(ctx context.Context, cluster, token string) (user string, groups []string, err error) {
	got, err := c.authority.verify(token, []string{KubernetesAudience})
	if err != nil {
		return "", nil, errors.New("the token is none of the directory's for an API server")
	}
	err = c.World.View(ctx, func(tx *world.Tx) error {
		one, err := clusterByGUID(tx, cluster)
		if err != nil {
			return err
		}
		if one == nil {
			return errors.New("there is no such cluster")
		}
		aad := object(one.properties(), "aadProfile")
		if !truth(aad, "managed") {
			return errors.New("the cluster does not take tokens of the directory")
		}
		if !truth(aad, "enableAzureRBAC") {
			return nil // known, and without rights but those that are given inside
		}
		admin := c.rights().mayTouch(clusterData)
		if !admin {
			admin, err = c.principalMay(tx, got.Object, clusterData, one.ID, c.World.Clock.Now(), true)
		}
		if admin {
			groups = []string{"system:masters"}
		}
		return err
	})
	if err != nil {
		return "", nil, err
	}
	return got.Object, append(groups, "system:authenticated"), nil
}

// kubeconfig is the file that kubectl reads.
type kubeconfig struct {
	APIVersion     string           `json:"apiVersion"`
	Clusters       []map[string]any `json:"clusters"`
	Contexts       []map[string]any `json:"contexts"`
	CurrentContext string           `json:"current-context"`
	Kind           string           `json:"kind"`
	Preferences    struct{}         `json:"preferences"`
	Users          []map[string]any `json:"users"`
}

func listUserCredentials(r *request) (reply, error) { return r.credentials("clusterUser", false) }

func listAdminCredentials(r *request) (reply, error) { return r.credentials("clusterAdmin", true) }

// credentials answers with a kubeconfig. Where the directory is trusted, a user's has no secret in it but the way to a token.
func (r *request) credentials(kind string, static bool) (reply, error) {
	var one *resource
	err := r.View(func(tx *world.Tx) (err error) {
		one, err = r.existing(tx)
		return err
	})
	if err != nil {
		return reply{}, err
	}
	aad := object(one.properties(), "aadProfile")
	if static && truth(one.properties(), "disableLocalAccounts") {
		return reply{}, badRequest("BadRequest", "Getting static credential is not allowed because this cluster is set to disable local accounts.")
	}
	access, err := r.cloud.Runner.Access(r.http.Context(), one.GUID)
	if errors.Is(err, clusters.ErrNotReady) {
		return reply{}, conflict("OperationNotAllowed", "The control plane of managed cluster %s is not ready: it is in state %s.", one.Name, one.State)
	}
	if err != nil {
		return reply{}, err
	}
	name := kind + "_" + r.params["resourcegroupname"] + "_" + one.Name
	config, err := yaml.Marshal(newKubeconfig(one.Name, name, access, r.userOf(access, static || !truth(aad, "managed"))))
	return reply{status: http.StatusOK, body: map[string]any{"kubeconfigs": []any{map[string]any{"name": kind, "value": config}}}}, err
}

// userOf is the user of a kubeconfig: the cluster's own credentials, or kubelogin.
func (r *request) userOf(access clusters.Access, static bool) map[string]any {
	user := map[string]any{}
	if !static {
		user["exec"] = map[string]any{"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "kubelogin", "env": nil, "provideClusterInfo": false,
			"args": []any{"get-token", "--environment", "AzurePublicCloud", "--server-id", KubernetesAudience, "--client-id", "80faf920-1908-4b52-b5ef-a8e7bedfc67a",
				"--tenant-id", r.cloud.Account.Tenant, "--login", "devicecode"},
			"installHint": "kubelogin is not installed. See https://aka.ms/aks/kubelogin for how to install it."}
		return user
	}
	if access.Token != "" {
		user["token"] = access.Token
	}
	if len(access.Certificate) > 0 {
		user["client-certificate-data"], user["client-key-data"] = access.Certificate, access.Key
	}
	return user
}

func newKubeconfig(cluster, user string, access clusters.Access, credentials map[string]any) kubeconfig {
	target := map[string]any{"server": access.Server}
	if len(access.CA) > 0 {
		target["certificate-authority-data"] = access.CA
	}
	return kubeconfig{APIVersion: "v1", Kind: "Config", CurrentContext: cluster,
		Clusters: []map[string]any{{"name": cluster, "cluster": target}},
		Contexts: []map[string]any{{"name": cluster, "context": map[string]any{"cluster": cluster, "user": user}}},
		Users:    []map[string]any{{"name": user, "user": credentials}}}
}
