package dev

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/m3o/platform/internal/account"
)

// Tokens keeps who holds which token, by its hash.
type Tokens interface {
	ReplaceToken(ctx context.Context, hash []byte, p account.Principal, name string, expires time.Time) error
	EnsureProject(ctx context.Context, name string) error
}

// TokenFile is where the administrator's token is in a data directory.
func TokenFile(dir string) string { return filepath.Join(dir, "admin.token") }

// admit makes the administrator's token at the first start, and lets its holder do everything. Without the file it makes a new
// one, and the old one is good no more: that is how a token that leaked is revoked.
func admit(ctx context.Context, dir string, tokens Tokens, hash func(string) []byte) error {
	token, err := secretIn(TokenFile(dir), "m3o_")
	if err != nil {
		return err
	}
	admin := account.Principal{Subject: "admin", Kind: account.User, Scopes: []string{account.All}}
	return errors.Join(tokens.EnsureProject(ctx, account.DefaultProject), tokens.ReplaceToken(ctx, hash(token), admin, "admin.token", time.Time{}))
}

// secretIn returns the secret in the file, made with the prefix if there is none. The file is only readable by its owner.
func secretIn(path, prefix string) (string, error) {
	data, err := os.ReadFile(path)
	if err == nil && len(strings.TrimSpace(string(data))) >= 32 {
		return strings.TrimSpace(string(data)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read a secret: %w", err)
	}
	secret := make([]byte, 32)
	rand.Read(secret) // never fails, see crypto/rand
	token := prefix + base64.RawURLEncoding.EncodeToString(secret)
	temp, err := os.CreateTemp(filepath.Dir(path), ".token-*") // mode 0600
	if err != nil {
		return "", fmt.Errorf("make a secret: %w", err)
	}
	defer os.Remove(temp.Name())
	_, err = temp.WriteString(token + "\n")
	if err := errors.Join(err, temp.Sync(), temp.Close(), os.Rename(temp.Name(), path)); err != nil {
		return "", fmt.Errorf("make a secret: %w", err)
	}
	return token, nil
}
