package rest

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/fault"
)

func TestASessionHoldsAsIssuedAndForItsTime(t *testing.T) {
	a, now := &API{SessionKey: []byte("key")}, time.Now()
	id, value, expires := a.newSession(now)
	for name, process := range map[string]*API{"the same process": a, "another process": {SessionKey: []byte("key")}} {
		if got, err := process.readSession(value, expires.Add(-2*time.Second)); err != nil || !bytes.Equal(got, id) {
			t.Errorf("%s read %x, %v", name, got, err)
		}
	}
	raw, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name string, a *API, value string, at time.Time) {
		t.Helper()
		if _, err := a.readSession(value, at); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused("after its end", a, value, expires)
	refused("of another platform", &API{SessionKey: []byte("another key")}, value, now)
	refused("empty", a, "", now)
	refused("too short", a, value[:len(value)-4], now)
	for i := range raw {
		changed := slices.Clone(raw)
		changed[i] ^= 1
		refused("changed", a, base64.RawURLEncoding.EncodeToString(changed), now)
	}
	refused("no base64", a, strings.Repeat("!", len(value)), now)
}

func TestASessionIsForPayloadsAlone(t *testing.T) {
	admin := account.Principal{Subject: "admin", Scopes: []string{account.All}, Platform: []account.Role{account.Operator}}
	if p := ofSession(admin); p.Subject != "admin" || !p.May(account.DecodePayloads, "") || p.May(account.ReadServices, "default") || p.May(account.WriteTokens, "") {
		t.Errorf("an administrator's session is %+v", p)
	}
	for _, p := range []account.Principal{{Scopes: []string{"services:read"}, Platform: []account.Role{account.Operator}}, {Scopes: []string{account.All}},
		{Project: "shop", Scopes: []string{account.All}, Platform: []account.Role{account.Operator}}} {
		if got := ofSession(p); len(got.Scopes) > 0 {
			t.Errorf("the session of %+v is %+v", p, got)
		}
	}
}
