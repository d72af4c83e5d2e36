package sandbox

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/azure"
)

// azureCredentials is what azure.json has, as M3O_AZURE_CREDENTIALS_FILE wants it.
type azureCredentials struct {
	Tenant       string `json:"tenant_id"`
	Client       string `json:"client_id"`
	Secret       string `json:"client_secret"`
	Subscription string `json:"subscription_id"`
}

func openAzure(env environment) (Provider, error) {
	kept, err := keptAzureCredentials(env.credentials)
	if err != nil {
		return nil, err
	}
	key, err := keptRSAKey(filepath.Join(env.config.Dir, "azure-signing.key"))
	if err != nil {
		return nil, err
	}
	account := azure.Account{Tenant: kept.Tenant, Subscription: kept.Subscription, Client: kept.Client, Secret: kept.Secret, Key: key,
		Object: uuid.NewSHA1(uuid.NameSpaceOID, []byte(kept.Tenant+"/"+kept.Client)).String()}
	return azure.New(azure.Config{World: env.world, Runner: env.runner, Versions: env.versions, Account: account, Policy: env.policy,
		Webhook: env.webhook(azure.Name), Logger: env.config.Logger})
}

// keptAzureCredentials reads the account's credentials, and makes them the first time.
func keptAzureCredentials(path string) (azureCredentials, error) {
	kept, err := readAzureCredentials(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return kept, err
	}
	secret := make([]byte, 30)
	if _, err := rand.Read(secret); err != nil {
		return kept, fmt.Errorf("make a client secret: %w", err)
	}
	kept = azureCredentials{Tenant: uuid.NewString(), Client: uuid.NewString(), Subscription: uuid.NewString(), Secret: hex.EncodeToString(secret)}
	data, err := json.MarshalIndent(kept, "", "  ")
	if err == nil {
		err = writeWhole(path, append(data, '\n'), 0o600)
	}
	if err != nil {
		return kept, fmt.Errorf("write Azure's credentials: %w", err)
	}
	return kept, nil
}

func readAzureCredentials(path string) (azureCredentials, error) {
	var kept azureCredentials
	data, err := readStart(path, maxControlBody)
	if err != nil {
		return kept, err
	}
	if err := json.Unmarshal(data, &kept); err != nil {
		return kept, fmt.Errorf("%s: %w", path, err)
	}
	return kept, nil
}

// keptRSAKey reads a key, and makes it the first time.
func keptRSAKey(path string) (*rsa.PrivateKey, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, fmt.Errorf("make a signing key: %w", err)
		}
		block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
		if err := writeWhole(path, pem.EncodeToMemory(block), 0o600); err != nil {
			return nil, fmt.Errorf("write the signing key: %w", err)
		}
		return key, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the signing key: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s is not a PEM key: remove it to have it made anew", path)
	}
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

func azureEnvironment(of account) (map[string]string, error) {
	kept, err := readAzureCredentials(of.credentials)
	if err != nil {
		return nil, fmt.Errorf("read Azure's credentials: %w", err)
	}
	config := filepath.Join(of.dir, "clients", azure.Name)
	files := azure.ClientFiles(of.url, kept.Tenant, kept.Subscription, kept.Client, kept.Secret)
	if err := os.MkdirAll(config, 0o700); err != nil {
		return nil, fmt.Errorf("make the client's folder: %w", err)
	}
	for name, data := range files {
		if err := writeWhole(filepath.Join(config, name), data, 0o600); err != nil {
			return nil, fmt.Errorf("write the client's %s: %w", name, err)
		}
	}
	return azure.Environment(of.url, kept.Tenant, kept.Subscription, kept.Client, kept.Secret, AuthorityFile(of.dir), config), nil
}
