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

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/secret"
)

// The metadata of an encrypted payload.
const (
	encodingKey   = "encoding"
	encryptedAs   = "binary/encrypted"
	encryptionKey = "encryption-key-id"
	boundTo       = "bound-to"
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

// Codec encrypts payloads with AES-256-GCM, and decrypts those under older keys, too. What is not encrypted is refused: whoever
// reaches Temporal may have put it there. Where the SDK says whose payloads they are, they are bound to that workflow, so that
// they cannot be taken from one to command another; a workflow takes none that are bound to nobody. The SDK says it of
// everything that the platform uses. It does not of details of a canceled workflow, and of activities that are completed by a
// task token, which therefore cannot be read.
//
// Outside of it are, because the SDK never asks: search attributes, headers (which carry traces alone), and what Temporal's own
// server says.
type Codec struct {
	current  string
	ciphers  map[string]cipher.AEAD
	workflow string // whose payloads these are; empty: not known
}

var (
	_ converter.PayloadCodec                         = (*Codec)(nil)
	_ converter.PayloadCodecWithSerializationContext = (*Codec)(nil)
)

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

// WithSerializationContext is For, as the SDK asks for it.
func (c *Codec) WithSerializationContext(where converter.SerializationContext) converter.PayloadCodec {
	switch at := where.(type) {
	case converter.WorkflowSerializationContext:
		return c.For(at.WorkflowID)
	case converter.ActivitySerializationContext:
		return c.For(at.WorkflowID)
	}
	return c
}

// For is the codec of what one workflow and its activities are given and answer.
func (c *Codec) For(workflowID string) *Codec {
	bound := *c
	bound.workflow = workflowID
	return &bound
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
			Data:     aead.Seal(nonce, nonce, plain, associated(c.current, c.workflow)),
		}
		if c.workflow != "" {
			out[i].Metadata[boundTo] = []byte(c.workflow)
		}
	}
	return out, nil
}

// associated is what an encrypted payload cannot be parted from.
func associated(key, workflow string) []byte {
	if workflow == "" {
		return []byte(key)
	}
	return []byte(key + "\x00" + workflow)
}

// Decode decrypts, and refuses what is not encrypted.
func (c *Codec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		if !encrypted(p) {
			return nil, fault.New(fault.Denied, "a payload is not encrypted (its encoding is %q): only what was encrypted with our keys is taken", p.GetMetadata()[encodingKey])
		}
		plain, err := c.open(p)
		if err != nil {
			return nil, err
		}
		out[i] = plain
	}
	return out, nil
}

func encrypted(p *commonpb.Payload) bool { return string(p.GetMetadata()[encodingKey]) == encryptedAs }

// Viewer is the codec of people who look on: it shows what is not encrypted as it is. Nothing that it decodes is obeyed.
func (c *Codec) Viewer() converter.PayloadCodec { return viewer{c} }

type viewer struct{ *Codec }

// Decode decrypts what is encrypted and passes on what is not.
func (v viewer) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		out[i] = p
		if !encrypted(p) {
			continue
		}
		plain, err := v.open(p)
		if err != nil {
			return nil, err
		}
		out[i] = plain
	}
	return out, nil
}

func (c *Codec) open(p *commonpb.Payload) (*commonpb.Payload, error) {
	id, owner := string(p.GetMetadata()[encryptionKey]), string(p.GetMetadata()[boundTo])
	aead, known := c.ciphers[id]
	if !known {
		return nil, fmt.Errorf("payload is encrypted under key %q, which is not among ours", id)
	}
	switch {
	case c.workflow != "" && owner == "":
		return nil, fault.New(fault.Denied, "a payload that is bound to no workflow was given to %q", c.workflow)
	case c.workflow != "" && owner != c.workflow:
		return nil, fault.New(fault.Denied, "a payload of workflow %q was given to %q", owner, c.workflow)
	}
	if len(p.Data) < aead.NonceSize() {
		return nil, errors.New("encrypted payload is cut short")
	}
	plain, err := aead.Open(nil, p.Data[:aead.NonceSize()], p.Data[aead.NonceSize():], associated(id, owner))
	if err != nil {
		return nil, errors.New("encrypted payload was tampered with, or its key is wrong")
	}
	var out commonpb.Payload
	if err := proto.Unmarshal(plain, &out); err != nil {
		return nil, fmt.Errorf("decrypted payload is damaged: %w", err)
	}
	return &out, nil
}
