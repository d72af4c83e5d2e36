package aws

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/m3o/platform/internal/fault"
)

// Ambient are the credentials that the worker's machine gives it, by the SDK's own chain: an instance's role, or EKS Pod Identity. They
// are renewed before they end.
func Ambient(ctx context.Context) (aws.CredentialsProvider, error) {
	found, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the identity that this machine has in AWS: %w", err)
	}
	return found.Credentials, nil
}

// FromFile are the credentials of the profile default in a shared credentials file (INI: [default], aws_access_key_id,
// aws_secret_access_key, aws_session_token). It is read for every request, so that renewing the file is enough.
func FromFile(path string) (aws.CredentialsProvider, error) {
	file := fileCredentials(path)
	if _, err := file.Retrieve(context.Background()); err != nil {
		return nil, err
	}
	return file, nil
}

type fileCredentials string

// Retrieve implements aws.CredentialsProvider.
func (f fileCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	if _, err := os.Stat(string(f)); err != nil { // the SDK takes a file that it cannot read as empty
		return aws.Credentials{}, fault.Wrap(fault.Denied, err, "the file with the AWS credentials cannot be read")
	}
	found, err := config.LoadSharedConfigProfile(ctx, "default", func(o *config.LoadSharedConfigOptions) {
		o.ConfigFiles, o.CredentialsFiles = []string{}, []string{string(f)}
	})
	if err != nil || !found.Credentials.HasKeys() {
		// The SDK's error could have a part of the file in it.
		return aws.Credentials{}, fault.New(fault.Denied, "the file with the AWS credentials, %s, has no profile default with aws_access_key_id and aws_secret_access_key", string(f))
	}
	return found.Credentials, nil
}
