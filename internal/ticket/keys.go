package ticket

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// Keys are public keys by key id.
type Keys map[string]ed25519.PublicKey

// Limits of a JWKS document.
const (
	maxKeys     = 32
	maxDocument = 64 << 10
)

type jwk struct {
	Type  string `json:"kty"`
	Curve string `json:"crv"`
	X     string `json:"x"`
	ID    string `json:"kid,omitempty"`
	Use   string `json:"use,omitempty"`
	Alg   string `json:"alg,omitempty"`
}

type jwks struct {
	Keys []jwk `json:"keys"`
}

// KeyID is the id of a public key: its thumbprint as RFC 7638 defines it.
func KeyID(key ed25519.PublicKey) string {
	// The members of the thumbprint's JSON are in lexical order, without white space, as the RFC demands.
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + base64.RawURLEncoding.EncodeToString(key) + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Document writes public keys as a JWKS document (RFC 7517, RFC 8037).
func Document(keys ...ed25519.PublicKey) []byte {
	var doc jwks
	for _, key := range keys {
		doc.Keys = append(doc.Keys, jwk{Type: "OKP", Curve: "Ed25519", X: base64.RawURLEncoding.EncodeToString(key),
			ID: KeyID(key), Use: "sig", Alg: "EdDSA"})
	}
	body, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		panic("ticket: a document of strings cannot be marshalled: " + err.Error())
	}
	return append(body, '\n')
}

// LoadDocument reads the file that Publish wrote, as it is, and checks that it holds a key.
func LoadDocument(path string) ([]byte, error) {
	body, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the keys of tickets: %w", err)
	}
	if _, err := ParseDocument(body); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return body, nil
}

// ParseDocument reads a JWKS document. Keys of other kinds are passed over; a document without a key of ours is an error.
func ParseDocument(body []byte) (Keys, error) {
	if len(body) > maxDocument {
		return nil, fmt.Errorf("the key document is larger than %d bytes", maxDocument)
	}
	var doc jwks
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, fmt.Errorf("read the key document: %w", err)
	}
	if len(doc.Keys) > maxKeys {
		return nil, fmt.Errorf("the key document holds %d keys, more than %d", len(doc.Keys), maxKeys)
	}
	keys := Keys{}
	for i, k := range doc.Keys {
		if k.Type != "OKP" || k.Curve != "Ed25519" || (k.Alg != "" && k.Alg != "EdDSA") || (k.Use != "" && k.Use != "sig") {
			continue
		}
		key, err := base64.RawURLEncoding.Strict().DecodeString(k.X)
		if err != nil || len(key) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("keys[%d].x of the key document is not an Ed25519 public key", i)
		}
		if k.ID == "" || len(k.ID) > maxName {
			return nil, fmt.Errorf("keys[%d].kid of the key document is empty or too long", i)
		}
		keys[k.ID] = key
	}
	if len(keys) == 0 {
		return nil, errors.New("the key document holds no Ed25519 key")
	}
	return keys, nil
}
