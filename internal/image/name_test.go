package image

import (
	"strings"
	"testing"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/inside"
)

// FuzzReference reads any image name: it is refused, or it names a registry and what it names is found again by its own name.
func FuzzReference(f *testing.F) {
	for _, seed := range []string{"", "a", "a:b", "docker.io/library/a@sha256:" + strings.Repeat("0", 64), "localhost:5000/a/b:v1", "127.0.0.1:5000/x", "[::1]:5000/x", "a//b", "A/b",
		"a@sha256:x", "registry.example:99999/a", "http://x/y", "user:pass@host/x", "a:" + strings.Repeat("x", 200), strings.Repeat("a/", 300), "ü/x", "x\x00y", "a b", "-x/y"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, reference string) {
		ref, err := Client{}.parse(reference)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("parse(%q) = %v", reference, err)
			}
			return
		}
		host := ref.Context().RegistryStr()
		if host == "" || strings.ContainsAny(host, "/@ \x00") {
			t.Errorf("parse(%q) names the registry %q", reference, host)
		}
		if again, err := (Client{}).parse(ref.Name()); err != nil || again.Name() != ref.Name() {
			t.Errorf("parse(%q) = %s, which is read as %v, %v", reference, ref.Name(), again, err)
		}
	})
}

// FuzzInside reads any list of what may be inside: it is refused, or it permits no more than it lists.
func FuzzInside(f *testing.F) {
	for _, seed := range []string{"", ",", "10.0.0.0/8", "::/0", "registry.example:5000, 10.0.0.0/33", "[::1]:5000", "http://x", "ü", "0.0.0.0/0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		in, err := inside.Parse(list)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("inside.Parse(%q) = %v", list, err)
			}
			return
		}
		if !strings.Contains(list, "127.0.0.1") && in.Names("127.0.0.1:80") {
			t.Errorf("inside.Parse(%q) names what is not in it", list)
		}
	})
}
