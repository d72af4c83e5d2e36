package world

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Kinds of effects.
const (
	Created = "created"
	Updated = "updated"
	Deleted = "deleted"
	Charged = "charged"
	Sent    = "sent"
)

// maxEffects bounds one answer of Effects; callers go on from the last line's number.
const maxEffects = 10_000

// Effect is one line of the ledger: something an outsider can see, or pays for, happened.
type Effect struct {
	Seq       int64     `json:"seq"`
	Time      time.Time `json:"time"`
	Provider  string    `json:"provider"`
	Operation string    `json:"operation"`
	Kind      string    `json:"kind"`
	Resource  string    `json:"resource"`
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Tags      []string  `json:"tags"`
	// Key is what the caller can recognise its request by: an idempotency key, or where the provider has none the
	// request's id. It is empty for what happened by itself.
	Key string `json:"key"`
	// Parent is the id of what the resource lives in.
	Parent string `json:"parent,omitempty"`
	// State is the state a resource came to.
	State string `json:"state,omitempty"`
	// RequestedAt is when the request came in that ended in this effect.
	RequestedAt *time.Time `json:"requested_at,omitempty"`
	// ReadyAt is when a resource became usable. With RequestedAt it says how long the cloud took.
	ReadyAt *time.Time `json:"ready_at,omitempty"`
}

// Record appends a line to the ledger, with number and time.
func (t *Tx) Record(effect Effect) error {
	effect.Seq = 0
	effect.Time = t.clock.Now()
	if effect.Tags == nil {
		effect.Tags = []string{}
	}
	doc, err := json.Marshal(effect)
	if err != nil {
		return fmt.Errorf("record an effect: %w", err)
	}
	if _, err := t.tx.Exec(`INSERT INTO effect (provider, doc) VALUES (?, ?)`, effect.Provider, string(doc)); err != nil {
		return fmt.Errorf("record an effect: %w", err)
	}
	return nil
}

// Effects returns the ledger's lines after the one with number since, oldest first, at most 10,000 of them.
func (w *World) Effects(ctx context.Context, since int64) ([]Effect, error) {
	return w.EffectsOf(ctx, "", since)
}

// EffectsOf is Effects, of one provider alone; "" is every provider's.
func (w *World) EffectsOf(ctx context.Context, provider string, since int64) ([]Effect, error) {
	effects := []Effect{}
	err := w.View(ctx, func(t *Tx) error {
		rows, err := t.tx.Query(`SELECT seq, doc FROM effect WHERE seq > ? AND ? IN ('', provider) ORDER BY seq LIMIT ?`, since, provider, maxEffects)
		if err != nil {
			return fmt.Errorf("read the ledger: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			var effect Effect
			var seq int64
			var doc string
			if err := rows.Scan(&seq, &doc); err != nil {
				return fmt.Errorf("read the ledger: %w", err)
			}
			if err := json.Unmarshal([]byte(doc), &effect); err != nil {
				return fmt.Errorf("read line %d of the ledger: %w", seq, err)
			}
			effect.Seq = seq
			effects = append(effects, effect)
		}
		return rows.Err()
	})
	return effects, err
}
