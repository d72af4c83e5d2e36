package rest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/fault"
)

// SessionCookie carries a browser's session to the routes that browsers call (the Temporal UI's codec endpoint, logout).
const SessionCookie = "m3o_session"

// sessionTime is how long a session lasts: a day's work.
const sessionTime = 12 * time.Hour

// sessionID is how many random bytes a session's id has.
const sessionID = 32

// A session is an id that only the browser has, signed together with the time at which it ends. Browsers send cookies to
// every port of a host, so other servers on it may see the value: it is no token, and good for little. Every process of the
// API signs with the same key, and what is not signed is refused without a look at the store; the store keeps the id's hash
// beside the token's, so that logging out, and the end of the token, end it everywhere.

// newSession makes a session's id, and the value of its cookie.
func (a *API) newSession(now time.Time) (id []byte, value string, expires time.Time) {
	random := make([]byte, sessionID)
	rand.Read(random) // never fails, see crypto/rand
	expires = now.Add(sessionTime)
	signed := append(binary.BigEndian.AppendUint64(nil, uint64(expires.Unix())), random...)
	sum := sha256.Sum256(random)
	return sum[:], base64.RawURLEncoding.EncodeToString(append(signed, a.sign(signed)...)), expires
}

// readSession returns the hash of the id in a cookie's value, if it is signed and has not ended.
func (a *API) readSession(value string, now time.Time) ([]byte, error) {
	raw, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil || len(raw) != 8+sessionID+sha256.Size {
		return nil, fault.New(fault.Unauthenticated, "this is no session: log in at /login")
	}
	signed, signature := raw[:8+sessionID], raw[8+sessionID:]
	if !hmac.Equal(signature, a.sign(signed)) || now.Unix() >= int64(binary.BigEndian.Uint64(signed)) {
		return nil, fault.New(fault.Unauthenticated, "the session has ended: log in at /login")
	}
	sum := sha256.Sum256(signed[8:])
	return sum[:], nil
}

func (a *API) sign(data []byte) []byte {
	mac := hmac.New(sha256.New, a.SessionKey)
	mac.Write(data) // never fails, see hash.Hash
	return mac.Sum(nil)
}

// inSession is who began the session. Its token is looked up every time, so that its end is the session's too.
func (a *API) inSession(r *http.Request, known *request, value string) error {
	id, err := a.readSession(value, time.Now())
	if err != nil {
		return err
	}
	if known.token, err = a.Sessions.Session(r.Context(), id); err != nil {
		return err
	}
	p, err := a.Accounts.Principal(r.Context(), known.token)
	known.session, known.caller = id, ofSession(p)
	return err
}

// ofSession is what a principal may do in a session: see payloads, if it may at all.
func ofSession(p account.Principal) account.Principal {
	may := p.May(account.DecodePayloads, "")
	if p.Scopes = nil; may {
		p.Scopes = []string{string(account.DecodePayloads)}
	}
	return p
}

// setCookie gives the browser a session, or with an empty value takes it away.
func (a *API) setCookie(w http.ResponseWriter, r *http.Request, value string) {
	cookie := &http.Cookie{Name: SessionCookie, Value: value, Path: "/v1/", HttpOnly: true, Secure: a.secure(r), SameSite: http.SameSiteStrictMode}
	if value == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
}
