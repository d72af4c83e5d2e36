package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/m3o/platform/internal/sandbox/aws"
)

func openAWS(env environment) (Provider, error) {
	keys, err := keptAWSKeys(env.credentials)
	if err != nil {
		return nil, err
	}
	return aws.New(aws.Config{World: env.world, Runner: env.runner, Versions: env.versions, Account: keys.Account(), AccessKey: keys.AccessKey, Secret: keys.Secret,
		Policy: env.policy, VCPULimit: env.config.VCPULimit, Webhook: env.webhook(aws.Name), Logger: env.config.Logger})
}

// keptAWSKeys reads the account's access key, and makes it the first time.
func keptAWSKeys(path string) (aws.Keys, error) {
	data, err := readStart(path, maxControlBody)
	if err == nil {
		keys, err := aws.ReadKeys(data)
		if err != nil {
			return keys, fmt.Errorf("read AWS's credentials in %s: %w", path, err)
		}
		return keys, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return aws.Keys{}, fmt.Errorf("read AWS's credentials: %w", err)
	}
	keys, err := aws.NewKeys()
	if err == nil {
		err = writeWhole(path, keys.File(), 0o600)
	}
	if err != nil {
		return keys, fmt.Errorf("write AWS's credentials: %w", err)
	}
	return keys, nil
}

func awsEnvironment(of account) (map[string]string, error) {
	config := filepath.Join(of.dir, "clients", aws.Name, "config")
	if err := os.MkdirAll(filepath.Dir(config), 0o700); err != nil {
		return nil, fmt.Errorf("make the client's folder: %w", err)
	}
	if err := writeWhole(config, aws.ClientConfig(), 0o600); err != nil {
		return nil, fmt.Errorf("write the client's configuration: %w", err)
	}
	return aws.Environment(of.url, of.credentials, config), nil
}
