package main

import (
	"context"
	"fmt"
	"time"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cloud/aws"
)

// awsSettings are AWS's own.
type awsSettings struct {
	CredentialsFile string `env:"M3O_AWS_CREDENTIALS_FILE" say:"shared credentials file with the profile default, for a first try; empty: the identity of the machine"`
	URL             string `env:"M3O_AWS_URL" say:"base URL of all services; empty: the real ones"`
	Hour            string `env:"M3O_AWS_HOUR" say:"how long what takes AWS an hour takes there, its limits included (default 1h; less in a sandbox)"`
}

func openAWS(b *base, s awsSettings) (cloud.Provider, error) {
	hour, err := duration("M3O_AWS_HOUR", s.Hour, time.Hour, 100*time.Millisecond)
	if err != nil {
		return nil, err
	}
	egress, err := b.egress()
	if err != nil {
		return nil, err
	}
	limited, err := b.limited("AWS", aws.Limits(hour))
	if err != nil {
		return nil, err
	}
	config := aws.Config{URL: s.URL, Transport: limited, Egress: egress, Hour: hour}
	if s.CredentialsFile == "" {
		config.Credentials, err = aws.Ambient(context.Background())
	} else if config.Credentials, err = aws.FromFile(s.CredentialsFile); err != nil {
		err = fmt.Errorf("M3O_AWS_CREDENTIALS_FILE: %w", err)
	}
	if err != nil {
		return nil, err
	}
	b.warnOfStaticKeys("AWS", "M3O_AWS_CREDENTIALS_FILE", s.CredentialsFile, s.URL, "an instance role, or its pod an identity")
	return aws.New(config)
}
