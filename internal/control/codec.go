package control

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"

	"github.com/m3o/platform/internal/secret"
)

// The metadata of an encrypted payload.
const (
	encodingKey   = "encoding"
	encryptedAs   = "binary/encrypted"
	encryptionKey = "encryption-key-id"
)

// Keys encrypt payloads. New payloads are written under Current; every key in All still decrypts.
type Keys struct {
	Current string            `json:"current"`
	All     map[string]string `json:"keys"` // id -> 32 bytes in hex
}

// LoadOrCreateKeys reads the key file at path, made with one key if there is none. The file is only readable by its owner.
// Only what sets the platform up may make it: two files do not read each other's payloads.
func LoadOrCreateKeys(path string) (Keys, error) {
	if err := createKeys(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return Keys{}, fmt.Errorf("make payload keys: %w", err)
	}
	return LoadKeys(path)
}

// LoadKeys reads the key file at path.
func LoadKeys(path string) (Keys, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Keys{}, fmt.Errorf("read payload keys: %w", err)
	}
	var keys Keys
	if err := json.Unmarshal(data, &keys); err != nil {
		return Keys{}, fmt.Errorf("payload keys in %s are damaged: %w", path, err)
	}
	return keys, nil
}

func createKeys(path string) error {
	key, id := make([]byte, 32), make([]byte, 4)
	rand.Read(key) // never fails, see crypto/rand
	rand.Read(id)
	name := hex.EncodeToString(id)
	data, err := json.Marshal(Keys{Current: name, All: map[string]string{name: hex.EncodeToString(key)}})
	if err != nil {
		return err
	}
	return secret.Create(path, data)
}

// Codec encrypts payloads with AES-256-GCM. Payloads that are not encrypted, and those under older keys, still decode.
type Codec struct {
	current string
	ciphers map[string]cipher.AEAD
}

var _ converter.PayloadCodec = (*Codec)(nil)

// NewCodec checks the keys and returns their codec.
func NewCodec(keys Keys) (*Codec, error) {
	c := &Codec{current: keys.Current, ciphers: map[string]cipher.AEAD{}}
	for id, text := range keys.All {
		secret, err := hex.DecodeString(text)
		if err != nil || len(secret) != 32 {
			return nil, fmt.Errorf("payload key %q is not 32 bytes in hex", id)
		}
		block, err := aes.NewCipher(secret)
		if err != nil {
			return nil, fmt.Errorf("payload key %q: %w", id, err)
		}
		if c.ciphers[id], err = cipher.NewGCM(block); err != nil {
			return nil, fmt.Errorf("payload key %q: %w", id, err)
		}
	}
	if c.ciphers[keys.Current] == nil {
		return nil, fmt.Errorf("the current payload key %q is not among the keys", keys.Current)
	}
	return c, nil
}

// Encode encrypts each payload whole, metadata included.
func (c *Codec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	aead := c.ciphers[c.current]
	for i, p := range payloads {
		plain, err := proto.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("encode payload: %w", err)
		}
		nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
		rand.Read(nonce)
		out[i] = &commonpb.Payload{
			Metadata: map[string][]byte{encodingKey: []byte(encryptedAs), encryptionKey: []byte(c.current)},
			Data:     aead.Seal(nonce, nonce, plain, []byte(c.current)),
		}
	}
	return out, nil
}

// Decode decrypts what is encrypted and passes on what is not.
func (c *Codec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		if string(p.GetMetadata()[encodingKey]) != encryptedAs {
			out[i] = p
			continue
		}
		plain, err := c.open(p)
		if err != nil {
			return nil, err
		}
		out[i] = plain
	}
	return out, nil
}

func (c *Codec) open(p *commonpb.Payload) (*commonpb.Payload, error) {
	id := string(p.GetMetadata()[encryptionKey])
	aead, known := c.ciphers[id]
	if !known {
		return nil, fmt.Errorf("payload is encrypted under key %q, which is not among ours", id)
	}
	if len(p.Data) < aead.NonceSize() {
		return nil, errors.New("encrypted payload is cut short")
	}
	plain, err := aead.Open(nil, p.Data[:aead.NonceSize()], p.Data[aead.NonceSize():], []byte(id))
	if err != nil {
		return nil, errors.New("encrypted payload was tampered with, or its key is wrong")
	}
	var out commonpb.Payload
	if err := proto.Unmarshal(plain, &out); err != nil {
		return nil, fmt.Errorf("decrypted payload is damaged: %w", err)
	}
	return &out, nil
}
