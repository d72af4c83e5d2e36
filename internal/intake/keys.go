package intake

import (
	"context"
	"sync"
	"time"

	"github.com/m3o/platform/internal/alert"
)

// How long a key is taken for good without a look, and how many are remembered.
const (
	keyLife = time.Second
	maxKeys = 10_000
)

// FindKey looks an integration key up by the hash of a secret.
type FindKey func(ctx context.Context, hash []byte) (alert.IntegrationKey, error)

// Keys looks integration keys up and remembers for a second those that are good, so that a source which sends hundreds of alerts a second
// costs one look at the store. What is not good is looked up each time. It is safe for concurrent use.
type Keys struct {
	find FindKey
	now  func() time.Time

	mu    sync.Mutex
	known map[string]knownKey // by hash
	turn  int                 // grows with Forget: what was looked up before is not remembered after
}

type knownKey struct {
	key   alert.IntegrationKey
	until time.Time
}

// NewKeys remembers what find finds.
func NewKeys(find FindKey) *Keys {
	return &Keys{find: find, now: time.Now, known: map[string]knownKey{}}
}

// Key is the key that a secret's hash lets in by. One that another process revoked or rotated is good for another second at most.
func (k *Keys) Key(ctx context.Context, hash []byte) (alert.IntegrationKey, error) {
	name := string(hash)
	k.mu.Lock()
	known, found := k.known[name]
	turn := k.turn
	k.mu.Unlock()
	now := k.now()
	if found && now.Before(known.until) {
		return known.key, nil
	}
	key, err := k.find(ctx, hash)
	if err != nil {
		return key, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.turn != turn {
		return key, nil
	}
	if len(k.known) >= maxKeys {
		clear(k.known)
	}
	k.known[name] = knownKey{key: key, until: now.Add(keyLife)}
	return key, nil
}

// Forget has every key looked up again: one was changed by this process.
func (k *Keys) Forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.turn++
	clear(k.known)
}
