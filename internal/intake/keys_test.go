package intake

import (
	"context"
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

func TestAKeyInUseIsLookedUpOnceASecond(t *testing.T) {
	looks, good, now := 0, true, time.Now()
	k := NewKeys(func(context.Context, []byte) (alert.IntegrationKey, error) {
		looks++
		if !good {
			return alert.IntegrationKey{}, fault.New(fault.NotFound, "there is no such key")
		}
		return alert.IntegrationKey{Name: "prom"}, nil
	})
	k.now = func() time.Time { return now }
	lets := func(want bool, wantLooks int) {
		t.Helper()
		key, err := k.Key(t.Context(), []byte("hash"))
		if (err == nil) != want || want && key.Name != "prom" || looks != wantLooks {
			t.Errorf("let in: %v (%+v), after %d looks; want %v after %d", err == nil, key, looks, want, wantLooks)
		}
	}
	lets(true, 1)
	lets(true, 1)
	good = false
	now = now.Add(keyLife)
	lets(false, 2)
	lets(false, 3)
	good = true
	lets(true, 4)
	good = false
	k.Forget()
	lets(false, 5)
}

func TestAKeyThatIsRevokedWhileItIsLookedUpIsNotRemembered(t *testing.T) {
	var k *Keys
	looks := 0
	k = NewKeys(func(context.Context, []byte) (alert.IntegrationKey, error) {
		looks++
		if looks == 1 {
			k.Forget()
		}
		return alert.IntegrationKey{}, nil
	})
	for range 3 {
		if _, err := k.Key(t.Context(), []byte("hash")); err != nil {
			t.Fatal(err)
		}
	}
	if looks != 2 {
		t.Errorf("%d looks", looks)
	}
}

func TestRememberedKeysAreBounded(t *testing.T) {
	k := NewKeys(func(context.Context, []byte) (alert.IntegrationKey, error) { return alert.IntegrationKey{}, nil })
	for i := range maxKeys + 10 {
		if _, err := k.Key(t.Context(), []byte{byte(i), byte(i >> 8), byte(i >> 16)}); err != nil {
			t.Fatal(err)
		}
	}
	if len(k.known) > maxKeys {
		t.Errorf("%d are remembered", len(k.known))
	}
}
