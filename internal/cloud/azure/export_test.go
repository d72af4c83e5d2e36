package azure

import (
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/m3o/platform/internal/region"
)

// What tests look at from outside.
var (
	Explain       = explain
	MatchesAction = matchesAction
)

func (p *Provider) IsOurs(operation string) bool { return p.isOurs(operation) }

func (p *Provider) Ranges(spec region.ClusterSpec) []string { return spec.Admitted(p.egress) }

// Named are the names of what is made for a region of that name.
func (p *Provider) Named(name string) map[string]string {
	n := p.names(name)
	return map[string]string{"group": n.group, "nodeGroup": n.nodeGroup, "network": n.network, "gateway": n.gateway, "address": n.address,
		"identity": n.clusterIdentity, "nodes": n.nodesIdentity, "cluster": n.cluster, "dns": n.dnsPrefix}
}

// Judged is a preflight's answer where the location is known, and nothing of what it offers.
func Judged(want region.Spec) region.Preflight { return survey{known: true}.judge(want, nil) }

// Credential is a token source in the words of the SDK.
type Credential = azcore.TokenCredential
