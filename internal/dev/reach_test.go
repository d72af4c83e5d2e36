package dev

import (
	"strings"
	"testing"

	"github.com/m3o/platform/internal/fault"
)

func TestTheRegistryIsReachedByAnAddressOfThisMachine(t *testing.T) {
	networks, err := networksHere()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range networks {
		for text, name := range map[string]string{n.Addr().String(): n.Addr().String() + ":5001", n.Addr().String() + ":7000": n.Addr().String() + ":7000"} {
			got, err := NewReach(t.Context(), text, 5001)
			if err != nil || got.Name != name || got.Listen.String() != name || !got.Network.Contains(n.Addr()) {
				t.Errorf("%s: got %+v, %v", text, got, err)
			}
		}
	}
	for _, wrong := range []string{"127.0.0.1", "localhost", "0.0.0.0", "203.0.113.250", "::1", "[::1]:5001", "10.0.0.1:0", "10.0.0.1:70000", "no such name", ""} {
		if got, err := NewReach(t.Context(), wrong, 5001); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: got %+v, %v", wrong, got, err)
		}
	}
	_, err = NewReach(t.Context(), "127.0.0.1", 5001)
	if len(networks) > 0 && !strings.Contains(err.Error(), networks[0].Addr().String()) {
		t.Errorf("the addresses that there are are not told: %v", err)
	}
}
