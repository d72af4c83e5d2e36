package aws

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/transport/http"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// accessFor is how long a token is used. EKS takes it for a quarter of an hour after it was signed.
const accessFor = 14 * time.Minute

// Access returns a kubeconfig with a token that is signed on the spot: a request to STS that says who the worker is, which EKS sends.
func (p *Provider) Access(ctx context.Context, spec region.ClusterSpec) (cloud.Access, error) {
	at := p.in(spec.Location)
	name := clusterName(spec)
	c, err := at.cluster(ctx, name, spec.Owner)
	switch {
	case fault.Is(err, fault.Exists):
		return cloud.Access{}, fault.Wrap(fault.NotFound, err, "%s", fault.Message(err))
	case err != nil:
		return cloud.Access{}, err
	case c == nil:
		return cloud.Access{}, fault.New(fault.NotFound, "the AWS account has no cluster %s in %s", name, at.location)
	case aws.ToString(c.Endpoint) == "" || c.CertificateAuthority == nil:
		return cloud.Access{}, fault.New(fault.Unavailable, "the cluster %s has no API server yet: it is %s", name, c.Status)
	}
	expires := time.Now().Add(accessFor)
	held, err := p.config.Credentials.Retrieve(ctx)
	if err != nil {
		return cloud.Access{}, at.explain(err, "sign a token for the cluster "+name)
	}
	if held.CanExpire && held.Expires.Before(expires) {
		expires = held.Expires // what they signed ends with them
	}
	signed, err := at.tokenFor(ctx, name)
	if err != nil {
		return cloud.Access{}, at.explain(err, "sign a token for the cluster "+name)
	}
	config, err := kubeconfig(c, signed)
	return cloud.Access{Kubeconfig: config, Expires: expires}, err
}

// The header by which a token is for one cluster, and for how long STS itself takes the request.
const (
	clusterHeader = "x-k8s-aws-id"
	expiryHeader  = "X-Amz-Expires"
	tokenPrefix   = "k8s-aws-v1."
)

func (at *place) tokenFor(ctx context.Context, cluster string) (string, error) {
	signed, err := sts.NewPresignClient(at.sts).PresignGetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}, func(o *sts.PresignOptions) {
		o.ClientOptions = append(o.ClientOptions, func(s *sts.Options) {
			s.APIOptions = append(s.APIOptions, http.AddHeaderValue(clusterHeader, cluster), http.SetHeaderValue(expiryHeader, "60"))
		})
	})
	if err != nil {
		return "", err
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString([]byte(signed.URL)), nil
}

// kubeconfig is one of a cluster, a user and a context, in JSON, which is YAML as well.
func kubeconfig(c *types.Cluster, bearer string) ([]byte, error) {
	name := aws.ToString(c.Name)
	named := func(field string, value any) []any { return []any{map[string]any{"name": name, field: value}} }
	config, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "Config", "current-context": name,
		"clusters": named("cluster", map[string]string{"server": aws.ToString(c.Endpoint), "certificate-authority-data": aws.ToString(c.CertificateAuthority.Data)}),
		"users":    named("user", map[string]string{"token": bearer}),
		"contexts": named("context", map[string]string{"cluster": name, "user": name})})
	if err != nil {
		return nil, fmt.Errorf("write the kubeconfig of %s: %w", name, err)
	}
	return config, nil
}
