package gcp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/m3o/platform/internal/sandbox/world"
)

// defaultAccount is the service account of instances for which none is named.
const defaultAccount = projectNumber + "-compute@developer.gserviceaccount.com"

// furnish makes what a project has before anything happened. The ledger says nothing of it.
func (c *Cloud) furnish() error {
	return c.World.View(context.Background(), func(tx *world.Tx) error {
		_, err := world.Get[policy](tx, ref(kindPolicy, ProjectID))
		if err == nil {
			return c.admit(tx)
		}
		if !isNotFound(err) {
			return err
		}
		err = errors.Join(putPolicy(tx, c.firstPolicy()), c.admit(tx))
		for _, service := range enabledServices {
			err = errors.Join(err, tx.Put(ref(kindService, service), world.Meta{Name: service}, apiService{Name: service, Enabled: true}))
		}
		if c.NewAccount {
			return err
		}
		first := c.firstPolicy()
		first.Bindings = append(first.Bindings, binding{Role: "roles/editor", Members: []string{"serviceAccount:" + defaultAccount}})
		return errors.Join(err, putPolicy(tx, first), putAccount(tx, serviceAccount{Email: defaultAccount, UniqueID: numberID(defaultAccount),
			DisplayName: "Compute Engine default service account", Created: c.longAgo()}), c.defaultNetwork(tx))
	})
}

// longAgo is when the project was made.
func (c *Cloud) longAgo() time.Time { return c.World.Clock.Now().Add(-24 * time.Hour) }

// admit makes the account of who calls, whose key may be a new one.
func (c *Cloud) admit(tx *world.Tx) error {
	return putAccount(tx, serviceAccount{Email: c.Account.Email(), UniqueID: c.Account.ClientID(), DisplayName: "M3O worker", Created: c.longAgo()})
}

// defaultNetwork is the network of automatic mode that every project begins with.
func (c *Cloud) defaultNetwork(tx *world.Tx) error {
	network := resource{Collection: "networks", Scope: global, Name: "default", ID: numberOf("default"), CreatedAt: c.longAgo(), Doc: document{
		"description": "Default network for the project", "autoCreateSubnetworks": true, "mtu": 1460, "routingConfig": map[string]any{"routingMode": "REGIONAL"},
		"networkFirewallPolicyEnforcementOrder": "AFTER_CLASSIC_FIREWALL"}}
	problems := []error{putResource(tx, network)}
	first := netip.MustParseAddr("10.128.0.0").As4()
	for i, r := range regions {
		first[1], first[2] = byte(128+i/16), byte(i%16*16)
		problems = append(problems, putResource(tx, resource{Collection: "subnetworks", Scope: regionS + "/" + r.Name, Name: "default",
			ID: numberOf("default in " + r.Name), CreatedAt: c.longAgo(), Doc: document{"network": network.link(), "purpose": "PRIVATE",
				"ipCidrRange": fmt.Sprintf("%s/20", netip.AddrFrom4(first)), "privateIpGoogleAccess": false, "stackType": "IPV4_ONLY",
				"privateIpv6GoogleAccess": "DISABLE_GOOGLE_ACCESS"}}))
	}
	return errors.Join(problems...)
}
