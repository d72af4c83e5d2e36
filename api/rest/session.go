package rest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/fault"
)

// SessionCookie carries a browser's session to the routes that browsers call (the Temporal UI's codec endpoint).
const SessionCookie = "m3o_session"

// sessionTime is how long a session lasts: a day's work.
const sessionTime = 12 * time.Hour

// sessions makes and reads what a browser has in place of a token. Browsers send cookies to every port of a host, so other
// servers on it may see the value. It holds the hash of a token, by which nobody can log in, and when it ends, signed.
type sessions struct{ key []byte }

// newSessions makes a key of its own: who has a session logs in again when the process was started again.
func newSessions() sessions {
	key := make([]byte, 32)
	rand.Read(key) // never fails, see crypto/rand
	return sessions{key}
}

func (s sessions) issue(tokenHash []byte, now time.Time) string {
	signed := binary.BigEndian.AppendUint64(nil, uint64(now.Add(sessionTime).Unix()))
	signed = append(signed, tokenHash...)
	return base64.RawURLEncoding.EncodeToString(append(signed, s.sign(signed)...))
}

// tokenHash is the hash of the token by which the session was begun.
func (s sessions) tokenHash(value string, now time.Time) ([]byte, error) {
	raw, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil || len(raw) != 8+2*sha256.Size {
		return nil, fault.New(fault.Unauthenticated, "this is no session: log in at /login")
	}
	signed, signature := raw[:8+sha256.Size], raw[8+sha256.Size:]
	if !hmac.Equal(signature, s.sign(signed)) || now.Unix() >= int64(binary.BigEndian.Uint64(signed)) {
		return nil, fault.New(fault.Unauthenticated, "the session has ended: log in at /login")
	}
	return signed[8:], nil
}

func (s sessions) sign(data []byte) []byte {
	mac := hmac.New(sha256.New, s.key)
	mac.Write(data) // never fails, see hash.Hash
	return mac.Sum(nil)
}

// ofSession is what a principal may do in a session: see payloads, if it may at all.
func ofSession(p account.Principal) account.Principal {
	may := p.May(account.DecodePayloads)
	if p.Scopes = nil; may {
		p.Scopes = []string{string(account.DecodePayloads)}
	}
	return p
}
