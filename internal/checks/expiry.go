package checks

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/store"
)

// Soon is how long before its end is told that something expires.
const Soon = 7 * 24 * time.Hour

// inUse is how lately a token must have been used for anybody to care that it expires.
const inUse = 30 * 24 * time.Hour

// Tokens are those that are kept.
type Tokens interface {
	ExpiringTokens(ctx context.Context, before, usedSince time.Time) ([]store.ExpiringToken, error)
}

// ExpiringTokens checks for tokens in use that expire soon. It is over when they are revoked, or nobody uses them any more; one that was
// made in its owner's name meanwhile is another token.
func ExpiringTokens(tokens Tokens) Check {
	return Check{Turn: event.TokenEnds, Look: func(ctx context.Context, _ []store.Condition) ([]store.Condition, error) {
		now := time.Now()
		found, err := tokens.ExpiringTokens(ctx, now.Add(Soon), now.Add(-inUse))
		var all []store.Condition
		for _, t := range found {
			all = append(all, store.Condition{Subject: t.Subject, Project: t.Project, Message: "in use, and " + ends(t.ExpiresAt, now) + ": make another one in time, and revoke this one"})
		}
		return all, err
	}}
}

// ExpiringCertificates checks for certificates in files, by what they are for, that expire soon: of each file the first one, which is the
// one that is shown. A file that cannot be read fails the check.
func ExpiringCertificates(files map[string]string) Check {
	return Check{Turn: event.CertEnds, Look: func(context.Context, []store.Condition) ([]store.Condition, error) {
		var all []store.Condition
		now := time.Now()
		for subject, file := range files {
			certificate, err := readCertificate(file)
			if err != nil {
				return nil, fmt.Errorf("read the certificate %s: %w", subject, err)
			}
			if certificate.NotAfter.Before(now.Add(Soon)) {
				all = append(all, store.Condition{Subject: subject, Message: ends(certificate.NotAfter, now) + ": renew it, and replace the file"})
			}
		}
		return all, nil
	}}
}

func readCertificate(file string) (*x509.Certificate, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("it does not begin with a certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

func ends(at, now time.Time) string {
	verb := "expires"
	if at.Before(now) {
		verb = "expired"
	}
	return verb + " on " + at.UTC().Format(time.DateTime) + " UTC"
}
