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
	s, hash, now := newSessions(), HashToken("token"), time.Now()
	value := s.issue(hash, now)
	if got, err := s.tokenHash(value, now.Add(sessionTime-2*time.Second)); err != nil || !bytes.Equal(got, hash) {
		t.Errorf("read %x, %v", got, err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil || bytes.Contains(raw, []byte("token")) {
		t.Errorf("the value is %q, %v", raw, err)
	}
	refused := func(name string, s sessions, value string, at time.Time) {
		t.Helper()
		if _, err := s.tokenHash(value, at); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused("after its end", s, value, now.Add(sessionTime))
	refused("of another process", newSessions(), value, now)
	refused("empty", s, "", now)
	refused("too short", s, value[:len(value)-4], now)
	for i := range raw {
		changed := slices.Clone(raw)
		changed[i] ^= 1
		refused("changed", s, base64.RawURLEncoding.EncodeToString(changed), now)
	}
	refused("no base64", s, strings.Repeat("!", len(value)), now)
}

func TestASessionIsForPayloadsAlone(t *testing.T) {
	admin := account.Principal{Subject: "admin", Scopes: []string{account.All}}
	if p := ofSession(admin); p.Subject != "admin" || !slices.Equal(p.Scopes, []string{string(account.DecodePayloads)}) {
		t.Errorf("an administrator's session is %+v", p)
	}
	for _, p := range []account.Principal{{Scopes: []string{"services:read"}}, {Project: "shop", Scopes: []string{account.All}}} {
		if got := ofSession(p); len(got.Scopes) > 0 {
			t.Errorf("the session of %+v is %+v", p, got)
		}
	}
}
