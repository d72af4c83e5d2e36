package digitalocean

import (
	"context"

	"github.com/m3o/platform/internal/region"
)

// DigitalOcean has no identities that a cluster or its nodes act as: DOKS acts in the account by itself. So there is nothing to
// make, and nothing to remove.

// EnsureIdentity is ready at once.
func (p *Provider) EnsureIdentity(context.Context, region.IdentitySpec, string) (region.Identity, error) {
	return region.Identity{Condition: region.Condition{Ready: true}}, nil
}

// DeleteIdentity is done at once.
func (p *Provider) DeleteIdentity(context.Context, region.IdentitySpec, string) (region.Removal, error) {
	return region.Removal{Gone: true}, nil
}

// EnsureTrust is ready at once.
func (p *Provider) EnsureTrust(context.Context, region.TrustSpec, string) (region.Condition, error) {
	return region.Condition{Ready: true}, nil
}

// DeleteTrust is done at once.
func (p *Provider) DeleteTrust(context.Context, region.TrustSpec, string) (region.Removal, error) {
	return region.Removal{Gone: true}, nil
}
