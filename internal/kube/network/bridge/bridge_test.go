package bridge

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/m3o/platform/internal/kube/addresses"
	"github.com/m3o/platform/internal/kube/network/wire"
)

func TestConfig(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	for _, cfg := range []Config{{}, {Index: 0, Uplink: ours}, {Index: 255, Uplink: ours}, {Index: 1}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v was fine", cfg)
		}
	}
}

func TestPool(t *testing.T) {
	p := newPool(7, "")
	var all []netip.Addr
	seen := map[netip.Addr]bool{}
	for range lastHost - firstHost + 1 {
		addr, err := p.take()
		if err != nil {
			t.Fatal(err)
		}
		if seen[addr] || !netip.MustParsePrefix("10.244.7.0/24").Contains(addr) || addr == addresses.Node(7) {
			t.Fatalf("%s was given out", addr)
		}
		seen[addr] = true
		all = append(all, addr)
	}
	if addr, err := p.take(); err == nil {
		t.Errorf("%s was given out of an empty pool", addr)
	}
	for _, addr := range []netip.Addr{all[5], all[3]} {
		if err := p.release(addr); err != nil {
			t.Error(err)
		}
		if err := p.release(addr); err == nil {
			t.Errorf("%s was released twice", addr)
		}
	}
	for _, want := range []netip.Addr{all[5], all[3]} {
		if got, err := p.take(); err != nil || got != want {
			t.Errorf("got %s %v, want %s: what rested longest comes first", got, err, want)
		}
	}
}

// A node that comes back after its end gives none of the addresses that Services may still lead to.
func TestAPoolGoesOnWhereItWas(t *testing.T) {
	last := filepath.Join(t.TempDir(), "last")
	given := map[netip.Addr]bool{}
	for range 5 {
		p := newPool(7, last)
		for range 50 {
			addr, err := p.take()
			if err != nil {
				t.Fatal(err)
			}
			if given[addr] {
				t.Fatalf("%s was given again, after %d others", addr, len(given)-1)
			}
			given[addr] = true
		}
	}
	for _, nonsense := range []string{"", "x", "1", "255", "300", "-3"} {
		if err := os.WriteFile(last, []byte(nonsense), 0o600); err != nil {
			t.Fatal(err)
		}
		if p := newPool(7, last); len(p.free) != lastHost-firstHost+1 || p.free[0] != firstHost {
			t.Errorf("after %q the pool has %d addresses, the first is %d", nonsense, len(p.free), p.free[0])
		}
	}
	if addr, err := newPool(7, t.TempDir()).take(); err == nil {
		t.Errorf("%s was given, and nobody will know", addr)
	}
}

func TestGratuitousARP(t *testing.T) {
	addr := netip.MustParseAddr("10.244.3.9")
	got := gratuitousARP(addr)
	want := []byte{
		255, 255, 255, 255, 255, 255, 0x0a, 0x58, 10, 244, 3, 9, 0x08, 0x06,
		0, 1, 8, 0, 6, 4, 0, 1, 0x0a, 0x58, 10, 244, 3, 9, 10, 244, 3, 9, 0, 0, 0, 0, 0, 0, 10, 244, 3, 9,
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// Whatever comes down the uplink, a frame lies within its bounds.
func FuzzPeekFrame(f *testing.F) {
	whole := append(binary.BigEndian.AppendUint32(nil, 30), make([]byte, 30)...)
	f.Add(whole)
	f.Add(append(whole, whole...))
	f.Add([]byte{0, 0, 0, 1, 9})
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, stream []byte) {
		reader := bufio.NewReaderSize(bytes.NewReader(stream), readBuffer)
		for {
			frame, err := peekFrame(reader)
			if err != nil {
				return
			}
			if len(frame) < wire.MinFrame || len(frame) > wire.MaxFrame {
				t.Fatalf("a frame of %d bytes", len(frame))
			}
			if _, err := reader.Discard(wire.LengthSize + len(frame)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
