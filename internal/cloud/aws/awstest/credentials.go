package awstest

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

// credentials are those of the account's file.
func (a Account) credentials(t *testing.T) aws.CredentialsProvider {
	t.Helper()
	found, err := config.LoadDefaultConfig(t.Context(), config.WithSharedCredentialsFiles([]string{a.Credentials}), config.WithSharedConfigFiles([]string{}),
		config.WithSharedConfigProfile("default"), config.WithEC2IMDSClientEnableState(2))
	if err != nil {
		t.Fatal(err)
	}
	return found.Credentials
}
