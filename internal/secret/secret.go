// Package secret keeps secrets in files: made once, whole or not at all, and for their owner's eyes.
//
// It knows nothing of what a secret opens: signing keys are internal/ticket's, payload keys internal/control's, tokens the
// starter's. They import it, and internal/dev does.
package secret

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/m3o/platform/internal/fault"
)

// shortest is how long a secret is at least; made ones have 43 characters.
const shortest = 32

// LoadOrCreate returns the secret in the file, made with the prefix if there is no file. Of several processes that make it
// at once one is first, and all return the same. A file that holds something shorter is refused, not replaced.
func LoadOrCreate(path, prefix string) (string, error) {
	return LoadOrMake(path, func() string {
		random := make([]byte, 32)
		rand.Read(random) // never fails, see crypto/rand
		return prefix + base64.RawURLEncoding.EncodeToString(random)
	})
}

// LoadOrMake is LoadOrCreate for a secret of another form.
func LoadOrMake(path string, make func() string) (string, error) {
	err := Create(path, []byte(make()+"\n"))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make a secret: %w", err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read a secret: %w", err)
	}
	text := strings.TrimSpace(string(content))
	if len(text) < shortest || strings.ContainsAny(text, " \r\n\t") {
		return "", fault.New(fault.Invalid, "%s holds no secret: one word of at least %d characters. Remove the file, and one is made", path, shortest)
	}
	return text, nil
}

// Create writes a file that was not there, whole or not at all, readable by its owner alone. The error is fs.ErrExist when
// there is one, also when another process has just made it.
func Create(path string, content []byte) error {
	if _, err := os.Lstat(path); err == nil {
		return fs.ErrExist
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".secret-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(content)
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Link(temp.Name(), path)
}
