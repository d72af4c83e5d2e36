package azure

import (
	"context"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/goccy/go-yaml"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// apiServers is the application that Entra ID knows all AKS API servers as.
const apiServers = "6dae42f8-4368-4678-94ff-3960e28e3630"

// kubeconfig is the part of a kubeconfig that is read and written here.
type kubeconfig struct {
	APIVersion string         `yaml:"apiVersion"`
	Kind       string         `yaml:"kind"`
	Clusters   []namedCluster `yaml:"clusters"`
	Users      []namedUser    `yaml:"users"`
	Contexts   []namedContext `yaml:"contexts"`
	Current    string         `yaml:"current-context"`
}

type namedCluster struct {
	Name    string `yaml:"name"`
	Cluster struct {
		Server    string `yaml:"server"`
		Authority string `yaml:"certificate-authority-data,omitempty"`
	} `yaml:"cluster"`
}

type namedUser struct {
	Name string `yaml:"name"`
	User struct {
		Token string `yaml:"token"`
	} `yaml:"user"`
}

type namedContext struct {
	Name    string `yaml:"name"`
	Context struct {
		Cluster string `yaml:"cluster"`
		User    string `yaml:"user"`
	} `yaml:"context"`
}

// Access returns a kubeconfig with a token of Entra ID, which holds for about an hour. What AKS itself gives names a program
// that fetches such tokens (kubelogin), and a worker needs none.
func (p *Provider) Access(ctx context.Context, spec region.ClusterSpec) (cloud.Access, error) {
	n := p.names(spec.Name)
	found, err := p.cluster(ctx, spec.Owner, n)
	switch {
	case fault.Is(err, fault.Exists):
		return cloud.Access{}, fault.Wrap(fault.NotFound, err, "%s", fault.Message(err))
	case err != nil:
		return cloud.Access{}, err
	case found == nil:
		return cloud.Access{}, fault.New(fault.NotFound, "the Azure subscription has no cluster %s", n.clusterID())
	}
	given, err := p.clusters.ListClusterUserCredentials(ctx, n.group, n.cluster,
		&armcontainerservice.ManagedClustersClientListClusterUserCredentialsOptions{Format: ptr(armcontainerservice.FormatExec)})
	if err != nil {
		return cloud.Access{}, notYet(explain(err, "give access to the cluster "+n.cluster))
	}
	server, err := serverOf(given.Kubeconfigs, n)
	if err != nil {
		return cloud.Access{}, err
	}
	token, err := p.token(ctx, policy.TokenRequestOptions{Scopes: []string{apiServers + "/.default"}}, "work in the cluster "+n.cluster)
	if err != nil {
		return cloud.Access{}, err
	}
	made := kubeconfig{APIVersion: "v1", Kind: "Config", Clusters: []namedCluster{server}, Users: []namedUser{{Name: "m3o"}},
		Contexts: []namedContext{{Name: "m3o"}}, Current: "m3o"}
	made.Users[0].User.Token = token.Token
	made.Contexts[0].Context.Cluster, made.Contexts[0].Context.User = server.Name, "m3o"
	text, err := yaml.Marshal(made)
	if err != nil {
		return cloud.Access{}, fault.New(fault.Failed, "the kubeconfig of %s cannot be written", n.cluster) // the cause may quote the token
	}
	return cloud.Access{Kubeconfig: text, Expires: token.ExpiresOn}, nil
}

// serverOf is the API server in what AKS gave: its address, and the authority that signed for it.
func serverOf(given []*armcontainerservice.CredentialResult, n names) (namedCluster, error) {
	var read kubeconfig
	if len(given) > 0 {
		_ = yaml.Unmarshal(given[0].Value, &read) // what it does not say is found out below
	}
	if len(read.Clusters) == 0 || !strings.HasPrefix(read.Clusters[0].Cluster.Server, "https://") {
		return namedCluster{}, fault.New(fault.Unavailable, "the cluster %s has no kubeconfig yet", n.cluster)
	}
	return read.Clusters[0], nil
}

// notYet: a cluster that was just seen, and for which a kubeconfig is "not found" or in conflict, is not up yet, or not up again.
func notYet(err error) error {
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Conflict) {
		return fault.Wrap(fault.Unavailable, err, "%s", fault.Message(err))
	}
	return err
}
