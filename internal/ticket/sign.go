package ticket

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/secret"
)

// Grant is what a ticket is to permit. Regions are full names, platform/name, or EveryRegionOf a platform; For is DefaultLife when
// it is zero.
type Grant struct {
	Subject string
	Project string
	Regions []string
	Scopes  []string
	For     time.Duration
}

// Signer makes tickets. It is safe for use by many goroutines.
type Signer struct {
	key    ed25519.PrivateKey
	id     string
	public []ed25519.PublicKey
	now    func() time.Time
}

type claims struct {
	jwt.RegisteredClaims
	Project string   `json:"project,omitempty"`
	Scopes  []string `json:"scopes"`
}

// NewSigner makes a signer that signs with key and publishes it, along with the public keys of others: those that signed
// before and those that will sign next.
func NewSigner(key ed25519.PrivateKey, others ...ed25519.PublicKey) *Signer {
	own := key.Public().(ed25519.PublicKey)
	return &Signer{key: key, id: KeyID(own), public: append([]ed25519.PublicKey{own}, others...), now: time.Now}
}

// Document is the JWKS document that gateways check the signer's tickets with.
func (s *Signer) Document() []byte { return Document(s.public...) }

// Sign makes a ticket.
func (s *Signer) Sign(g Grant) (string, error) {
	if g.For == 0 {
		g.For = DefaultLife
	}
	if err := g.validate(); err != nil {
		return "", err
	}
	now := s.now()
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims{
		RegisteredClaims: jwt.RegisteredClaims{Subject: g.Subject, Audience: g.Regions, ID: rand.Text(),
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(g.For))},
		Project: g.Project, Scopes: g.Scopes,
	})
	token.Header["kid"], token.Header["typ"] = s.id, tokenType
	signed, err := token.SignedString(s.key)
	if err != nil {
		return "", fmt.Errorf("sign a ticket: %w", err)
	}
	if len(signed) > maxLength {
		return "", fault.New(fault.Invalid, "a ticket of %d bytes is longer than %d", len(signed), maxLength)
	}
	return signed, nil
}

func (g Grant) validate() error {
	var c fault.Checker
	c.Check(g.Subject != "" && len(g.Subject) <= maxName, "subject", "is empty or too long")
	c.Check(len(g.Project) <= maxName, "project", "is too long")
	c.Check(len(g.Regions) > 0 && len(g.Regions) <= maxRegions, "regions", "must name 1 to %d regions", maxRegions)
	for _, name := range g.Regions {
		platform, region, _ := strings.Cut(name, "/")
		c.Check(platform != "" && platform != every && region != "" && !strings.Contains(region, "/"), "regions", "%.100q is not of the form platform/name", name)
	}
	c.Check(len(g.Scopes) > 0 && len(g.Scopes) <= maxScopes, "scopes", "must hold 1 to %d scopes", maxScopes)
	c.Check(g.For >= time.Second && g.For <= MaxLife, "for", "%s is not between 1s and %s", g.For, MaxLife)
	return c.Err()
}

// LoadOrCreate reads the signing key at path, and makes one when there is none. Only what sets the platform up may make
// one: a process that made its own would sign what no gateway knows.
func LoadOrCreate(path string) (*Signer, error) {
	if err := create(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make the signing key %s: %w", path, err)
	}
	return Load(path)
}

// Load reads the signing key at path. The file holds PEM blocks (PKCS #8): the first key signs, the others are published
// only. So a key is rotated by adding the new one at the end, waiting until the gateways have it, and moving it to the
// front. Nobody but the owner may be able to read the file.
func Load(path string) (*Signer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the signing key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fault.New(fault.Invalid, "the signing key %s can be read by others than its owner: chmod 600 it", path)
	}
	body, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the signing key: %w", err)
	}
	return parseSigner(path, body)
}

func parseSigner(path string, body []byte) (*Signer, error) {
	var keys []ed25519.PrivateKey
	for {
		block, rest := pem.Decode(body)
		if block == nil {
			break
		}
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		key, ok := parsed.(ed25519.PrivateKey)
		if err != nil || !ok {
			return nil, fault.New(fault.Invalid, "%s holds something other than Ed25519 private keys", path)
		}
		keys, body = append(keys, key), rest
	}
	if len(keys) == 0 || len(bytes.TrimSpace(body)) > 0 {
		return nil, fault.New(fault.Invalid, "%s is not a signing key in PEM form", path)
	}
	var others []ed25519.PublicKey
	for _, key := range keys[1:] {
		others = append(others, key.Public().(ed25519.PublicKey))
	}
	return NewSigner(keys[0], others...), nil
}

func create(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fs.ErrExist
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return secret.Create(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// Publish writes the public half of the signer's keys to a file for those who hand it on to gateways and do not sign.
func (s *Signer) Publish(path string) error {
	if before, err := os.ReadFile(path); err == nil && bytes.Equal(before, s.Document()) {
		return nil
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".keys-*")
	if err != nil {
		return fmt.Errorf("publish the keys of tickets: %w", err)
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(s.Document())
	if err := errors.Join(err, temp.Chmod(0o644), temp.Sync(), temp.Close()); err != nil {
		return fmt.Errorf("publish the keys of tickets: %w", err)
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return fmt.Errorf("publish the keys of tickets: %w", err)
	}
	return nil
}
