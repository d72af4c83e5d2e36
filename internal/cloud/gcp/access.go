package gcp

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"cloud.google.com/go/container/apiv1/containerpb"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// TokenMargin is how long before a token ends a newer one is asked for, since credentials for clusters end with it. A source that keeps
// its tokens for longer hands out the same one.
const TokenMargin = 6 * time.Minute

// Access returns a kubeconfig with an access token of the worker's identity, which GKE's API servers take as they take anybody's in
// the project. It ends when the token does, which is within an hour.
func (p *Provider) Access(ctx context.Context, spec region.ClusterSpec) (cloud.Access, error) {
	c, err := p.findCluster(ctx, spec)
	switch {
	case fault.Is(err, fault.Exists): // somebody else's is not there, as far as the region goes
		return cloud.Access{}, fault.Wrap(fault.NotFound, err, "%s", fault.Message(err))
	case err != nil:
		return cloud.Access{}, err
	case c == nil:
		return cloud.Access{}, fault.New(fault.NotFound, "the GCP project %s has no cluster %s in %s", p.project, clusterName(spec.Name), spec.Location)
	case c.GetStatus() == containerpb.Cluster_STOPPING, c.GetEndpoint() == "", c.GetMasterAuth().GetClusterCaCertificate() == "":
		return cloud.Access{}, fault.New(fault.Unavailable, "the cluster %s cannot be accessed while it is %s", c.GetName(), c.GetStatus())
	}
	ca, err := base64.StdEncoding.DecodeString(c.GetMasterAuth().GetClusterCaCertificate())
	if err != nil {
		return cloud.Access{}, fault.Wrap(fault.Failed, err, "GKE gave no certificate of the cluster %s that can be read", c.GetName())
	}
	token, err := p.tokens.Token()
	if err != nil {
		return cloud.Access{}, explain(err, "give access to the cluster "+c.GetName())
	}
	config, err := kubeconfig("https://"+c.GetEndpoint(), ca, token.AccessToken)
	if err != nil {
		return cloud.Access{}, err
	}
	expires := token.Expiry
	if expires.IsZero() { // a token that says nothing lives for an hour at most
		expires = time.Now().Add(TokenMargin)
	}
	return cloud.Access{Kubeconfig: config, Expires: expires}, nil
}

// kubeconfig is a kubeconfig file with one cluster and one user. JSON is YAML.
func kubeconfig(server string, ca []byte, token string) ([]byte, error) {
	type named map[string]any
	const name = "m3o"
	data, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": name,
		"clusters": []named{{"name": name, "cluster": map[string]any{"server": server, "certificate-authority-data": ca}}},
		"users":    []named{{"name": name, "user": map[string]any{"token": token}}},
		"contexts": []named{{"name": name, "context": map[string]any{"cluster": name, "user": name}}},
	})
	if err != nil {
		return nil, fmt.Errorf("write a kubeconfig: %w", err)
	}
	return data, nil
}
