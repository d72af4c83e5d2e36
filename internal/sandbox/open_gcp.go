package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/m3o/platform/internal/sandbox/gcp"
)

func openGCP(env environment) (Provider, error) {
	account, err := gcpAccount(env)
	if err != nil {
		return nil, err
	}
	return gcp.New(gcp.Config{World: env.world, Runner: env.runner, Versions: env.versions, Account: account, Policy: env.policy,
		NewAccount: env.config.NewAccount, Authenticator: env.webhook(gcp.Name), Logger: env.config.Logger})
}

// gcpAccount reads the service account's key, and makes it the first time. The file says where tokens are issued, so it is written
// anew at every start.
func gcpAccount(env environment) (gcp.Account, error) {
	data, err := os.ReadFile(env.credentials)
	var account gcp.Account
	switch {
	case err == nil:
		account, err = gcp.ReadAccount(data)
	case errors.Is(err, fs.ErrNotExist):
		account, err = gcp.NewAccount("m3o-worker")
	}
	if err != nil {
		return account, fmt.Errorf("read %s: %w", env.credentials, err)
	}
	file, err := account.File(env.url)
	if err != nil {
		return account, err
	}
	return account, writeWhole(env.credentials, append(file, '\n'), 0o600)
}

func gcpEnvironment(of account) (map[string]string, error) {
	config := filepath.Join(of.dir, "clients", gcp.Name)
	if err := os.MkdirAll(config, 0o700); err != nil {
		return nil, fmt.Errorf("make the client's folder: %w", err)
	}
	return gcp.Environment(of.url, of.credentials, config), nil
}
