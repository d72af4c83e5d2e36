package rest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/store"
)

// Keyed is what every changing request may carry: the same key with the same content is one request, for a day.
type Keyed struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" doc:"The same key with the same request is done once; with another it is refused."`
}

// once does a request under its idempotency key: a repetition gets the first one's answer. do gets an id that is the same
// for every repetition, by which workflows know the command. Without a key every request is its own.
func once[T any](ctx context.Context, a *API, route, key string, body any, do func(id string) (T, error)) (T, error) {
	var none T
	if key == "" {
		random := make([]byte, 16)
		rand.Read(random) // never fails, see crypto/rand
		return do(hex.EncodeToString(random))
	}
	caller := caller(ctx).ID
	content, err := json.Marshal(body)
	if err != nil {
		return none, err
	}
	hash := sha256.Sum256(content)
	claim, err := a.Claims.Claim(ctx, caller, route, key, hash[:])
	if err != nil {
		return none, err
	}
	switch claim.State {
	case store.ClaimFinished:
		var answer T
		return answer, json.Unmarshal(claim.Body, &answer)
	case store.ClaimInProgress: // by somebody, or by a process that died: the id makes it one command all the same
		return do(claim.Command)
	}
	answer, err := do(claim.Command)
	if err != nil {
		// What was refused may be asked again under the same key, with another body too. What was not answered in time may
		// have been accepted: the key stays this request's.
		if fault.Of(err).Permanent() {
			_ = a.Claims.Abandon(context.WithoutCancel(ctx), claim)
		}
		return none, err
	}
	kept, err := json.Marshal(answer)
	if err != nil {
		return none, err
	}
	return answer, a.Claims.Finish(context.WithoutCancel(ctx), claim, http.StatusOK, kept)
}
