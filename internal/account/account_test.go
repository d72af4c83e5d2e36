package account_test

import (
	"testing"

	"github.com/m3o/platform/internal/account"
)

func TestWhatAPrincipalMay(t *testing.T) {
	for _, c := range []struct {
		scopes []string
		need   account.Permission
		want   bool
	}{
		{nil, account.ReadServices, false},
		{[]string{account.All}, account.DecodePayloads, true},
		{[]string{"services:read"}, account.ReadServices, true},
		{[]string{"services:read"}, account.WriteServices, false},
		{[]string{"services:*"}, account.CallServices, true},
		{[]string{"services:*"}, account.ReadRegions, false},
		{[]string{"services"}, account.ReadServices, false},
		{[]string{"*:read"}, account.ReadServices, false},
		{[]string{"regions:access"}, account.InspectRegions, true},
		{[]string{"regions:inspect"}, account.AccessRegions, false},
		{[]string{"regions:read", "services:write"}, account.WriteServices, true},
	} {
		if got := (account.Principal{Scopes: c.scopes}).May(c.need); got != c.want {
			t.Errorf("%q may %q: %t", c.scopes, c.need, got)
		}
	}
}

func TestAPrincipalOfOneProjectHoldsNothingPlatformWide(t *testing.T) {
	for need, want := range map[account.Permission]bool{account.ReadServices: true, account.WriteServices: true, account.CallServices: true, account.ReadEvents: true,
		account.ReadRegions: false, account.WriteRegions: false, account.InspectRegions: false, account.AccessRegions: false, account.ReadAudit: false, account.ReadMetrics: false,
		account.DecodePayloads: false} {
		one := account.Principal{Project: "shop", Scopes: []string{account.All, string(need)}}
		if one.May(need) != want || need.PlatformWide() == want || !(account.Principal{Scopes: []string{string(need)}}).May(need) {
			t.Errorf("%s: of one project %t, platform-wide %t", need, one.May(need), need.PlatformWide())
		}
	}
}

func TestWhereAPrincipalMay(t *testing.T) {
	if p := (account.Principal{Project: "shop"}); !p.In("shop") || p.In("default") || p.In("") {
		t.Error("a principal of one project acts in another")
	}
	if !(account.Principal{}).In("shop") {
		t.Error("a principal of every project is kept out of one")
	}
}
