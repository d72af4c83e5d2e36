package account

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"math/big"
	"strings"

	"github.com/m3o/platform/internal/fault"
)

// Prefix says what a secret is for. It is followed by what is random, and a checksum.
type Prefix string

// The kinds of secret.
const (
	PersonToken  Prefix = "m3o_pat_"
	ServiceToken Prefix = "m3o_sat_"
	InviteCode   Prefix = "m3o_inv_" // good once, for a user's first token
	SessionID    Prefix = "m3o_ses_" // what a browser has in place of a token

	IntegrationSecret Prefix = "m3o_int_" // one of the pair of an integration key, in the URL that a source of alerts sends to
	HeartbeatSecret   Prefix = "m3o_hbt_" // in the URL that a program pings
)

// PrefixOf is the kind of token that a principal of the kind has.
func PrefixOf(kind Kind) Prefix {
	if kind == Service {
		return ServiceToken
	}
	return PersonToken
}

// A secret has 32 random bytes and a checksum of 4, both in the digits of base 62, padded to one length.
const (
	randomBytes  = 32
	randomDigits = 43 // of 32 bytes
	sumDigits    = 6  // of 4 bytes
)

// NewSecret makes a secret of the kind. It is shown once; what is kept of it is its Hash.
func NewSecret(kind Prefix) string {
	random := make([]byte, randomBytes)
	rand.Read(random) // never fails, see crypto/rand
	return Secret(kind, random)
}

// Secret writes random bytes as a secret of the kind.
func Secret(kind Prefix, random []byte) string {
	body := string(kind) + digits(new(big.Int).SetBytes(random), randomDigits)
	return body + checksum(body)
}

// Hash is what is kept of a secret. Secrets are long and random, so a fast hash is enough.
func Hash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// CheckSecret reports what is wrong with a secret that is to be of one of the kinds, without asking anybody: one that was
// mistyped or cut off is refused here.
func CheckSecret(secret string, kinds ...Prefix) error {
	for _, kind := range kinds {
		if !strings.HasPrefix(secret, string(kind)) {
			continue
		}
		if len(secret) != len(kind)+randomDigits+sumDigits {
			return fault.New(fault.Unauthenticated, "what begins with %s has %d characters, this has %d: it was not copied whole", kind,
				len(kind)+randomDigits+sumDigits, len(secret))
		}
		body := secret[:len(secret)-sumDigits]
		if checksum(body) != secret[len(body):] {
			return fault.New(fault.Unauthenticated, "what begins with %s ends in a checksum, and this one's is wrong: it was mistyped", kind)
		}
		return nil
	}
	names := make([]string, len(kinds))
	for i, kind := range kinds {
		names[i] = string(kind) + "…"
	}
	return fault.New(fault.Unauthenticated, "this is not of the form %s", strings.Join(names, " or "))
}

func checksum(body string) string {
	return digits(new(big.Int).SetUint64(uint64(crc32.ChecksumIEEE([]byte(body)))), sumDigits)
}

func digits(n *big.Int, width int) string {
	text := n.Text(62)
	return strings.Repeat("0", max(0, width-len(text))) + text
}
