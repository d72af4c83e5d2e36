package aws

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Keys are an account's only credentials.
type Keys struct{ AccessKey, Secret string }

// NewKeys draws an access key in the form that AWS gives them.
func NewKeys() (Keys, error) {
	var key [10]byte
	var secret [30]byte
	_, err := rand.Read(key[:])
	_, failed := rand.Read(secret[:])
	return Keys{"AKIA" + base32.StdEncoding.EncodeToString(key[:]), base64.StdEncoding.EncodeToString(secret[:])}, errors.Join(err, failed)
}

// Account is the number of the account that the keys are of: twelve digits, always the same.
func (k Keys) Account() string {
	sum := sha256.Sum256([]byte(k.AccessKey))
	return fmt.Sprintf("%012d", 100_000_000_000+binary.BigEndian.Uint64(sum[:8])%900_000_000_000)
}

// File is the shared credentials file with the keys.
func (k Keys) File() []byte {
	return fmt.Appendf(nil, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", k.AccessKey, k.Secret)
}

// ReadKeys reads a shared credentials file, of one profile.
func ReadKeys(data []byte) (Keys, error) {
	var k Keys
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, "=")
		switch strings.TrimSpace(name) {
		case "aws_access_key_id":
			k.AccessKey = strings.TrimSpace(value)
		case "aws_secret_access_key":
			k.Secret = strings.TrimSpace(value)
		}
	}
	if k.AccessKey == "" || k.Secret == "" {
		return k, errors.New("it has no aws_access_key_id or no aws_secret_access_key")
	}
	return k, nil
}

// ClientConfig is a configuration file for the command line, which it is given in place of the user's own.
func ClientConfig() []byte {
	return []byte("[default]\nregion = us-east-1\ncli_pager =\nretry_mode = standard\n")
}

// Environment is what a stock client needs in its environment to use the account: its base URL, its credentials file, and a
// configuration file in the place of the user's own.
func Environment(url, credentials, config string) map[string]string {
	return map[string]string{
		"AWS_ENDPOINT_URL":            url,
		"AWS_SHARED_CREDENTIALS_FILE": credentials,
		"AWS_CONFIG_FILE":             config,
		"AWS_REGION":                  "us-east-1",
		"AWS_DEFAULT_REGION":          "us-east-1",
		"AWS_EC2_METADATA_DISABLED":   "true",
		"AWS_PAGER":                   "",
	}
}
