package region

import (
	"time"

	"github.com/m3o/platform/internal/fault"
)

// Role is what a person may do in a region's cluster.
type Role string

// The roles.
const (
	RoleView  Role = "view"  // look at everything but secrets
	RoleAdmin Role = "admin" // everything
)

// Access asks for credentials of a person's own for a region's cluster. By is who asks: the cluster's audit log names him.
type Access struct {
	By   string        `json:"by"`
	Role Role          `json:"role"`
	For  time.Duration `json:"for"`
}

// How long credentials for a cluster hold. An API server gives none for less.
const (
	MinAccess     = 10 * time.Minute
	DefaultAccess = time.Hour
	MaxAccess     = 24 * time.Hour
)

// maxCaller bounds the name of who asks.
const maxCaller = 256

// Problems says everything that is wrong with the request, at once.
func (a Access) Problems() []fault.Problem {
	var c fault.Checker
	c.Check(a.By != "" && len(a.By) <= maxCaller, "by", "%.80q is not the name of a caller: 1 to %d bytes", a.By, maxCaller)
	c.Check(a.Role == RoleView || a.Role == RoleAdmin, "role", "%.80q is neither %q nor %q", a.Role, RoleView, RoleAdmin)
	c.Check(a.For >= MinAccess && a.For <= MaxAccess, "for", "%s is not between 10m and 24h", a.For)
	return c.Problems()
}

// KubeconfigInput asks for access, sealed to the caller's one-time public key (32 bytes, X25519, base64 in JSON).
type KubeconfigInput struct {
	Access
	PublicKey []byte `json:"public_key"`
}

// Validate says everything that is wrong with the request, at once.
func (in KubeconfigInput) Validate() error {
	var c fault.Checker
	c.Check(len(in.PublicKey) == keyBytes, "public_key", "must be %d bytes, not %d", keyBytes, len(in.PublicKey))
	c.Add(in.Problems()...)
	return c.Err()
}

// keyBytes is the length of an X25519 key.
const keyBytes = 32

// SealedKubeconfig is a kubeconfig that only the holder of the private key can read (NaCl anonymous box).
type SealedKubeconfig struct {
	Sealed []byte `json:"sealed"`
}
