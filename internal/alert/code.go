package alert

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// Limits of the codes that verify contacts.
const (
	CodeLife     = 15 * time.Minute
	CodeTries    = 5                                  // of one code
	CodePause    = time.Minute                        // between two codes to one address
	CodesPerHour = 5                                  // to one address
	CodesPerDay  = 20                                 // for one person
	codeLength   = 8                                  // characters of codeLetters: 40 bits
	codeRounds   = 20_000                             // of PBKDF2: the hash is in histories
	codeLetters  = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ" // 32, none of which looks like another
)

// VerifyInput starts VerifyContact: the n-th code for a contact is to be sent.
type VerifyInput struct {
	Contact string `json:"contact"`
	N       int64  `json:"n"`
}

// CodeRecord puts a code's hash into force. The code before it is good no more.
type CodeRecord struct {
	Contact string    `json:"contact"`
	N       int64     `json:"n"`
	Hash    string    `json:"hash,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
	Why     string    `json:"why,omitempty"` // in place of a hash: why no code could be sent
}

// CodeOf writes random bytes, at least 8, as a code for a person to type.
func CodeOf(random []byte) string {
	code := make([]byte, codeLength)
	for i := range code {
		code[i] = codeLetters[int(random[i])%len(codeLetters)]
	}
	return string(code)
}

// HashCode is what is kept of a code: salted, and slow to guess.
func HashCode(code string) string {
	salt := make([]byte, 16)
	rand.Read(salt) // never fails, see crypto/rand
	return base64.RawURLEncoding.EncodeToString(append(salt, slowly(code, salt)...))
}

// IsCode reports whether the code is the one that the hash was made of. Case, spaces and hyphens do not matter.
func IsCode(code, hash string) bool {
	kept, err := base64.RawURLEncoding.DecodeString(hash)
	return err == nil && len(kept) == 48 && subtle.ConstantTimeCompare(kept[16:], slowly(code, kept[:16])) == 1
}

func slowly(code string, salt []byte) []byte {
	plain := strings.NewReplacer(" ", "", "-", "").Replace(strings.ToUpper(code))
	key, err := pbkdf2.Key(sha256.New, plain, salt, codeRounds, 32)
	if err != nil {
		panic(fmt.Sprintf("alert: derive a key of %d bytes: %v", 32, err)) // of fixed lengths
	}
	return key
}
