//go:build embedded

package dev

import (
	"strings"
	"time"

	"github.com/m3o/platform/internal/sandbox"
)

// NewSandboxCloud is the provider of that name of the sandbox with that directory and time scale, which answers at the URL.
func NewSandboxCloud(dir, name, url string, scale float64) SandboxCloud {
	cloud := SandboxCloud{URL: url, Credentials: sandbox.CredentialsFile(dir, name), Hour: max(time.Duration(float64(time.Hour)*scale), 100*time.Millisecond)}
	if strings.HasPrefix(url, "https://") {
		cloud.CA = sandbox.AuthorityFile(dir)
	}
	return cloud
}
