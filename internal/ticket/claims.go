package ticket

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/m3o/platform/internal/fault"
)

// SignClaims signs something other than a ticket. Its type keeps both apart, so that neither is ever taken for the other.
func (s *Signer) SignClaims(typ string, c jwt.Claims) (string, error) {
	if typ == tokenType {
		return "", fault.New(fault.Invalid, "%s is the type of tickets", typ)
	}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c)
	token.Header["kid"], token.Header["typ"] = s.id, typ
	signed, err := token.SignedString(s.key)
	if err != nil {
		return "", fmt.Errorf("sign %s: %w", typ, err)
	}
	return signed, nil
}

// VerifyClaims checks what SignClaims made: its type, algorithm, signature and times at now. The error is jwt.ErrTokenExpired in its chain for one
// that was good before.
func (k Keys) VerifyClaims(typ, token string, into jwt.Claims, now time.Time) error {
	if len(token) > maxLength {
		return fmt.Errorf("the token is longer than %d bytes", maxLength)
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithLeeway(Leeway), jwt.WithStrictDecoding(), jwt.WithTimeFunc(func() time.Time { return now }))
	_, err := parser.ParseWithClaims(token, into, func(t *jwt.Token) (any, error) {
		if t.Header["typ"] != typ || t.Header["crit"] != nil {
			return nil, errors.New("not a " + typ)
		}
		id, _ := t.Header["kid"].(string)
		key, ok := k[id]
		if !ok {
			return nil, errUnknownKey
		}
		return key, nil
	})
	return err
}
