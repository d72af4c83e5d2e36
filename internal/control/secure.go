package control

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/m3o/platform/internal/fault"
)

// Security is how we prove to Temporal who we are, and how it proves to us that it is Temporal: by TLS with a client certificate,
// or with an API key. The zero value is neither, for a Temporal on the same machine: Dial
// refuses it for others.
type Security struct {
	CertFile, KeyFile string // our certificate and its key, read again when they are renewed
	CAFile            string // the authorities that sign Temporal's certificate; empty: the system's
	ServerName        string // in Temporal's certificate; empty: the host of its address
	APIKeyFile        string // in place of a client certificate; read again when it is renewed
}

// The variables of these settings, as errors name them.
const (
	certVariable       = "M3O_TEMPORAL_CERT_FILE"
	keyVariable        = "M3O_TEMPORAL_KEY_FILE"
	caVariable         = "M3O_TEMPORAL_CA_FILE"
	serverNameVariable = "M3O_TEMPORAL_SERVER_NAME"
	apiKeyVariable     = "M3O_TEMPORAL_API_KEY_FILE"
	plaintextVariable  = "M3O_TEMPORAL_PLAINTEXT_ALLOW"
)

// tls is the configuration of the connection, nil without security.
func (s Security) tls() (*tls.Config, error) {
	if s == (Security{}) {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.ServerName}
	switch {
	case s.CertFile != "" && s.KeyFile == "":
		return nil, fault.New(fault.Invalid, "%s must be set, too: the key of the certificate in %s", keyVariable, certVariable)
	case s.CertFile == "" && s.KeyFile != "":
		return nil, fault.New(fault.Invalid, "%s must be set, too: the certificate of the key in %s", certVariable, keyVariable)
	case s.CertFile != "" && s.APIKeyFile != "":
		return nil, fault.New(fault.Invalid, "%s and %s are two ways to say who we are: set one of them", certVariable, apiKeyVariable)
	case s.CertFile != "":
		ours := &renewed[*tls.Certificate]{load: s.certificate}
		if _, err := ours.get(); err != nil {
			return nil, err
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return ours.get() }
	}
	if s.CAFile == "" {
		return config, nil
	}
	data, err := os.ReadFile(s.CAFile)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "%s: %v", caVariable, err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(data) {
		return nil, fault.New(fault.Invalid, "%s: %s holds no certificate in PEM", caVariable, s.CAFile)
	}
	return config, nil
}

func (s Security) certificate() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "%s and %s: %v", certVariable, keyVariable, err)
	}
	return &pair, nil
}

// credentials send the API key with each call, nil without one.
func (s Security) credentials() (client.Credentials, error) {
	if s.APIKeyFile == "" {
		return nil, nil
	}
	key := &renewed[string]{load: func() (string, error) {
		data, err := os.ReadFile(s.APIKeyFile)
		if err != nil {
			return "", fault.Wrap(fault.Invalid, err, "%s: %v", apiKeyVariable, err)
		}
		if data = bytes.TrimSpace(data); len(data) == 0 || bytes.ContainsAny(data, "\r\n") {
			return "", fault.New(fault.Invalid, "%s: %s does not hold one line with a key", apiKeyVariable, s.APIKeyFile)
		}
		return string(data), nil
	}}
	if _, err := key.get(); err != nil {
		return nil, err
	}
	return client.NewAPIKeyDynamicCredentials(func(context.Context) (string, error) { return key.get() }), nil
}

// renewed is what is in files that somebody renews. What is half written is passed over: what was read before goes on.
type renewed[T any] struct {
	load func() (T, error)

	mu     sync.Mutex
	loaded bool
	last   T
}

func (r *renewed[T]) get() (T, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	value, err := r.load()
	if err != nil && r.loaded {
		return r.last, nil
	}
	if err == nil {
		r.last, r.loaded = value, true
	}
	return value, err
}

// options are what a client needs to reach Temporal.
func (s Security) options() (o client.Options, err error) {
	if o.ConnectionOptions.TLS, err = s.tls(); err != nil {
		return o, err
	}
	o.Credentials, err = s.credentials()
	return o, err
}

// handshake is how long a server may take to say who it is, and whether it takes us.
const handshake = 5 * time.Second

// explain says why the connection to Temporal cannot be made, if it is for want of security: gRPC tells little of it.
func (s Security) explain(ctx context.Context, address string) error {
	config, err := s.tls()
	if err != nil || config == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	config.NextProtos = []string{"h2"}
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	if err == nil {
		defer conn.Close()
		_ = conn.SetReadDeadline(time.Now().Add(handshake))
		_, err = conn.Read(make([]byte, 1)) // a server that refuses our certificate says so after the handshake
	}
	return s.reason(address, err)
}

// reason is what a failed handshake means for whoever made the settings; nil if it was none.
func (s Security) reason(address string, err error) error {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &authority) && s.CAFile == "":
		return fault.Wrap(fault.Denied, err, "the certificate of Temporal at %s is signed by no authority that this system trusts: name its authority with %s", address, caVariable)
	case errors.As(err, &authority):
		return fault.Wrap(fault.Denied, err, "the certificate of Temporal at %s is signed by none of the authorities in %s (%s)", address, caVariable, s.CAFile)
	case errors.As(err, &name):
		return fault.Wrap(fault.Denied, err, "the certificate of Temporal at %s is for another name: %v; set %s if that is right", address, name, serverNameVariable)
	case errors.As(err, &invalid):
		return fault.Wrap(fault.Denied, err, "the certificate of Temporal at %s is not valid: %v", address, invalid)
	case errors.As(err, &plain):
		return fault.Wrap(fault.Denied, err, "what answers at %s does not speak TLS", address)
	case isAlert(err):
		return fault.Wrap(fault.Denied, err, "Temporal at %s refuses the client certificate, or asks for one (%s, %s): %v", address, certVariable, keyVariable, err)
	}
	return nil
}

// isAlert reports whether the other side ended the handshake. crypto/tls wraps its alerts in an operation of the network.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// unreachable is the error of a failed dial.
func (s Security) unreachable(ctx context.Context, address string, err error) error {
	if why := s.explain(context.WithoutCancel(ctx), address); why != nil {
		return why
	}
	return fmt.Errorf("reach Temporal at %s: %w", address, err)
}
