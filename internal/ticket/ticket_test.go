package ticket

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/m3o/platform/internal/fault"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newSigner(t testing.TB, key ed25519.PrivateKey, others ...ed25519.PublicKey) *Signer {
	s := NewSigner(key, others...)
	s.now = func() time.Time { return start }
	return s
}

func newVerifier(t testing.TB, at time.Time, signers ...*Signer) *Verifier {
	t.Helper()
	keys := Keys{}
	for _, s := range signers {
		parsed, err := ParseDocument(s.Document())
		if err != nil {
			t.Fatal(err)
		}
		for id, key := range parsed {
			keys[id] = key
		}
	}
	v := NewVerifier("micro/lon1", keys)
	v.now = func() time.Time { return at }
	return v
}

func grant() Grant {
	return Grant{Subject: "ada", Project: "shop", Regions: []string{"micro/lon1", "micro/nyc3"}, Scopes: []string{"call:shop/till", ReadReleases}}
}

func sign(t testing.TB, s *Signer, g Grant) string {
	t.Helper()
	token, err := s.Sign(g)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTicketSaysWhatWasGranted(t *testing.T) {
	s := newSigner(t, newKey(t))
	token := sign(t, s, grant())
	v := newVerifier(t, start, s)
	for range 2 { // the second time from memory
		got, err := v.Verify(token)
		if err != nil {
			t.Fatal(err)
		}
		if got.Subject != "ada" || got.Project != "shop" || got.ID == "" || !got.Expires.Equal(start.Add(DefaultLife)) {
			t.Errorf("got %+v", got)
		}
		if !got.May(Call, "shop", "till") || got.May(Logs, "shop", "till") || got.May(Call, "shop", "other") || got.May(Call, "bank", "till") || !got.Has(ReadReleases) {
			t.Errorf("scopes are not kept: %+v", got)
		}
	}
	if !Looks(token) {
		t.Error("a ticket does not look like one")
	}
}

// Two platforms have regions of the same name, and one key signs for both.
func TestATicketHoldsOnOnePlatform(t *testing.T) {
	s := newSigner(t, newKey(t))
	keys, err := ParseDocument(s.Document())
	if err != nil {
		t.Fatal(err)
	}
	for _, region := range []string{"micro/lon1", EveryRegionOf("micro")} {
		g := grant()
		g.Regions = []string{region}
		token, err := s.Sign(g)
		if err != nil {
			t.Fatal(err)
		}
		for gateway, good := range map[string]bool{"micro/lon1": true, "other/lon1": false, "micro2/lon1": false, "micro/nyc3": region != "micro/lon1"} {
			v := NewVerifier(gateway, keys)
			v.now = func() time.Time { return start }
			if _, err := v.Verify(token); (err == nil) != good {
				t.Errorf("one for %s at %s: %v", region, gateway, err)
			}
		}
	}
}

func TestTicketLivesAMinute(t *testing.T) {
	s := newSigner(t, newKey(t))
	token := sign(t, s, grant())
	v := newVerifier(t, start, s)
	for _, c := range []struct {
		after time.Duration
		good  bool
	}{{-Leeway - time.Second, false}, {-Leeway + time.Second, true}, {DefaultLife, true}, {DefaultLife + Leeway - time.Second, true}, {DefaultLife + Leeway + time.Second, false}} {
		v.now = func() time.Time { return start.Add(c.after) }
		_, err := v.Verify(token)
		_, fresh := newVerifier(t, start.Add(c.after), s).Verify(token)
		if (err == nil && c.after >= 0) != (c.good && c.after >= 0) || (fresh == nil) != c.good {
			t.Errorf("after %s: %v, without memory %v, want good %t", c.after, err, fresh, c.good)
		}
	}
}

func TestGrantsKeepTheRules(t *testing.T) {
	s := newSigner(t, newKey(t))
	for name, change := range map[string]func(*Grant){
		"no subject":    func(g *Grant) { g.Subject = "" },
		"no region":     func(g *Grant) { g.Regions = nil },
		"no platform":   func(g *Grant) { g.Regions = []string{"lon1"} },
		"all platforms": func(g *Grant) { g.Regions = []string{"*/lon1"} },
		"everywhere":    func(g *Grant) { g.Regions = []string{"*"} },
		"half a name":   func(g *Grant) { g.Regions = []string{"micro/"} },
		"too deep":      func(g *Grant) { g.Regions = []string{"micro/lon1/a"} },
		"no scope":      func(g *Grant) { g.Scopes = nil },
		"too long":      func(g *Grant) { g.For = MaxLife + time.Second },
		"negative":      func(g *Grant) { g.For = -time.Second },
		"large":         func(g *Grant) { g.Scopes = []string{strings.Repeat("x", maxLength)} },
		"very many":     func(g *Grant) { g.Scopes = make([]string, maxScopes+1) },
		"large project": func(g *Grant) { g.Project = strings.Repeat("x", 300) },
	} {
		g := grant()
		change(&g)
		if _, err := s.Sign(g); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// forge signs claims in ways the signer never does.
func forge(t testing.TB, method jwt.SigningMethod, key any, id string, change func(*jwt.Token, *claims)) string {
	t.Helper()
	c := claims{RegisteredClaims: jwt.RegisteredClaims{Subject: "eve", Audience: []string{"micro/lon1"}, ID: "1", IssuedAt: jwt.NewNumericDate(start),
		ExpiresAt: jwt.NewNumericDate(start.Add(time.Minute))}, Scopes: []string{"call:*/*"}}
	token := jwt.NewWithClaims(method, &c)
	token.Header["kid"], token.Header["typ"] = id, tokenType
	if change != nil {
		change(token, &c)
	}
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestForgedTicketsAreRefused(t *testing.T) {
	key := newKey(t)
	s := newSigner(t, key)
	public := key.Public().(ed25519.PublicKey)
	good := forge(t, jwt.SigningMethodEdDSA, key, s.id, nil)
	v := newVerifier(t, start, s)
	if _, err := v.Verify(good); err != nil {
		t.Fatalf("the unchanged one is refused, so that this test says nothing: %v", err)
	}
	parts := strings.Split(good, ".")
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
	changed := base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(payload), "eve", "bob", 1)))
	for name, token := range map[string]string{
		"algorithm none":     forge(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, s.id, nil),
		"public key as HMAC": forge(t, jwt.SigningMethodHS256, []byte(public), s.id, nil),
		"another key":        forge(t, jwt.SigningMethodEdDSA, newKey(t), s.id, nil),
		"unknown key id":     forge(t, jwt.SigningMethodEdDSA, key, "other", nil),
		"no key id":          forge(t, jwt.SigningMethodEdDSA, key, s.id, func(j *jwt.Token, _ *claims) { delete(j.Header, "kid") }),
		"another type":       forge(t, jwt.SigningMethodEdDSA, key, s.id, func(j *jwt.Token, _ *claims) { j.Header["typ"] = "JWT" }),
		"critical header":    forge(t, jwt.SigningMethodEdDSA, key, s.id, func(j *jwt.Token, _ *claims) { j.Header["crit"] = []string{"b64"} }),
		"no expiry":          forge(t, jwt.SigningMethodEdDSA, key, s.id, func(_ *jwt.Token, c *claims) { c.ExpiresAt = nil }),
		"no start":           forge(t, jwt.SigningMethodEdDSA, key, s.id, func(_ *jwt.Token, c *claims) { c.IssuedAt = nil }),
		"lives for a year":   forge(t, jwt.SigningMethodEdDSA, key, s.id, func(_ *jwt.Token, c *claims) { c.ExpiresAt = jwt.NewNumericDate(start.AddDate(1, 0, 0)) }),
		"from the future": forge(t, jwt.SigningMethodEdDSA, key, s.id, func(_ *jwt.Token, c *claims) {
			c.IssuedAt, c.ExpiresAt = jwt.NewNumericDate(start.Add(time.Minute)), jwt.NewNumericDate(start.Add(2*time.Minute))
		}),
		"another region":    forge(t, jwt.SigningMethodEdDSA, key, s.id, func(_ *jwt.Token, c *claims) { c.Audience = []string{"micro/nyc3"} }),
		"another platform":  forge(t, jwt.SigningMethodEdDSA, key, s.id, func(_ *jwt.Token, c *claims) { c.Audience = []string{"other/lon1", "other/*"} }),
		"a name alone":      forge(t, jwt.SigningMethodEdDSA, key, s.id, func(_ *jwt.Token, c *claims) { c.Audience = []string{"lon1"} }),
		"every platform":    forge(t, jwt.SigningMethodEdDSA, key, s.id, func(_ *jwt.Token, c *claims) { c.Audience = []string{"*", "*/*", "*/lon1"} }),
		"no region":         forge(t, jwt.SigningMethodEdDSA, key, s.id, func(_ *jwt.Token, c *claims) { c.Audience = nil }),
		"no id":             forge(t, jwt.SigningMethodEdDSA, key, s.id, func(_ *jwt.Token, c *claims) { c.ID = "" }),
		"changed payload":   parts[0] + "." + changed + "." + parts[2],
		"without signature": parts[0] + "." + parts[1] + ".",
		"cut":               good[:len(good)-4],
		"padded":            good + "=",
		"very long":         good + strings.Repeat("A", maxLength),
		"empty":             "",
	} {
		if got, err := v.Verify(token); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestKeysAreRotatedWithoutAGap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signing.pem")
	old, err := LoadOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadOrCreate(path)
	if err != nil || again.id != old.id {
		t.Fatalf("the key changed: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	first := sign(t, old, grant())

	der, err := x509.MarshalPKCS8PrivateKey(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	next := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	present, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	load := func(body string) *Signer {
		t.Helper()
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := LoadOrCreate(path)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	announced := load(string(present) + string(next))
	verifier := newVerifier(t, time.Now(), announced)
	moved := load(string(next) + string(present))
	if announced.id != old.id || moved.id == old.id {
		t.Fatal("the first key of the file does not sign")
	}
	for name, token := range map[string]string{"signed before": first, "signed while both": sign(t, announced, grant()), "signed after": sign(t, moved, grant())} {
		if _, err := verifier.Verify(token); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	verifier.SetKeys(Keys{})
	if _, err := verifier.Verify(first); err == nil {
		t.Error("a ticket is good after its key was withdrawn")
	}
}

func TestSigningKeyOthersCanReadIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signing.pem")
	if _, err := LoadOrCreate(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrCreate(path); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(path, []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrCreate(path); !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "not a key") {
		t.Errorf("got %v", err)
	}
}

// Who hands keys on to gateways holds the public half alone.
func TestTheDocumentIsPublishedWithoutThePrivateHalf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tickets.json")
	if _, err := LoadDocument(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before it is published: %v", err)
	}
	for _, s := range []*Signer{newSigner(t, newKey(t)), newSigner(t, newKey(t))} {
		for range 2 {
			if err := s.Publish(path); err != nil {
				t.Fatal(err)
			}
		}
		document, err := LoadDocument(path)
		if err != nil || !bytes.Equal(document, s.Document()) {
			t.Fatalf("read back %s, %v", document, err)
		}
		if strings.Contains(string(document), base64.RawURLEncoding.EncodeToString(s.key.Seed())) {
			t.Error("the private half is published")
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte(`{"keys":[]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadDocument(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a document without keys: %v", err)
	}
}

func TestLoadMakesNoKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signing.pem")
	if _, err := Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a key was made")
	}
}

func TestKeyIDIsTheThumbprintOfTheRFC(t *testing.T) {
	// The example of RFC 8037, appendix A.3.
	key, err := base64.RawURLEncoding.DecodeString("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
	if err != nil {
		t.Fatal(err)
	}
	if got := KeyID(key); got != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" {
		t.Errorf("got %s", got)
	}
}

func FuzzVerify(f *testing.F) {
	s := newSigner(f, newKey(f))
	good := sign(f, s, grant())
	f.Add(good)
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	v := newVerifier(f, start, s)
	f.Fuzz(func(t *testing.T, token string) {
		Looks(token)
		if got, err := v.Verify(token); err == nil && token != good {
			t.Errorf("accepted %q as %+v", token, got)
		}
	})
}

func FuzzParseDocument(f *testing.F) {
	f.Add(newSigner(f, newKey(f)).Document())
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA","kid":"1"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, err := ParseDocument(body)
		if err == nil && len(keys) == 0 {
			t.Error("no key and no error")
		}
		for id, key := range keys {
			if id == "" || len(key) != ed25519.PublicKeySize {
				t.Errorf("key %q of %d bytes", id, len(key))
			}
		}
	})
}
