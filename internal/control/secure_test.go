//go:build embedded

package control_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/fault"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t: t, cert: cert, key: key}
}

// issue writes a certificate for the name, and its key, and returns the files.
func (a *authority) issue(name, certFile, keyFile string) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(certFile, "CERTIFICATE", der)
	a.write(keyFile, "PRIVATE KEY", raw)
}

func (a *authority) write(file, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// guarded is the tests' Temporal as a production one is reached: by TLS, with a certificate that its authority signed.
type guarded struct {
	address string
	good    control.Security

	mu    sync.Mutex
	names []string // of the clients that came
	conns []net.Conn
}

func newGuarded(t *testing.T) *guarded {
	dir, ca := t.TempDir(), newAuthority(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	ca.write(at("ca.pem"), "CERTIFICATE", ca.cert.Raw)
	ca.issue("temporal.test", at("server.pem"), at("server.key"))
	ca.issue("first", at("client.pem"), at("client.key"))
	pair, err := tls.LoadX509KeyPair(at("server.pem"), at("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	g := &guarded{address: l.Addr().String(),
		good: control.Security{CertFile: at("client.pem"), KeyFile: at("client.key"), CAFile: at("ca.pem"), ServerName: "temporal.test"}}
	t.Cleanup(func() { l.Close(); g.cut() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go g.pass(conn.(*tls.Conn))
		}
	}()
	return g
}

// pass brings one connection to Temporal.
func (g *guarded) pass(from *tls.Conn) {
	defer from.Close()
	if from.Handshake() != nil {
		return
	}
	to, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer to.Close()
	g.mu.Lock()
	g.names = append(g.names, from.ConnectionState().PeerCertificates[0].Subject.CommonName)
	g.conns = append(g.conns, from)
	g.mu.Unlock()
	go func() { _, _ = io.Copy(to, from); to.Close() }()
	_, _ = io.Copy(from, to)
}

// cut ends all connections, as a restart does.
func (g *guarded) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.conns {
		_ = c.Close()
	}
	g.conns = nil
}

func (g *guarded) came() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.names)
}

func dialWith(t *testing.T, address string, s control.Security) (client.Client, error) {
	t.Helper()
	return control.Dial(within(t, 20*time.Second), control.Settings{Address: address, Security: s, Codec: codec(t, keys(t)), Logger: slog.New(slog.DiscardHandler)})
}

// TestTemporalIsReachedByTLS: with our certificate it answers, and whatever is wrong is said in the words of the settings.
func TestTemporalIsReachedByTLS(t *testing.T) {
	g := newGuarded(t)
	stranger := newAuthority(t)
	other := t.TempDir()
	stranger.write(filepath.Join(other, "ca.pem"), "CERTIFICATE", stranger.cert.Raw)
	stranger.issue("stranger", filepath.Join(other, "client.pem"), filepath.Join(other, "client.key"))
	for name, c := range map[string]struct {
		change func(*control.Security)
		words  []string
	}{
		"no certificate":                  {func(s *control.Security) { s.CertFile, s.KeyFile = "", "" }, []string{"refuses the client certificate", "M3O_TEMPORAL_CERT_FILE"}},
		"another authority's":             {func(s *control.Security) { s.CertFile, s.KeyFile = other+"/client.pem", other+"/client.key" }, []string{"refuses the client certificate", "M3O_TEMPORAL_CERT_FILE"}},
		"the wrong authority":             {func(s *control.Security) { s.CAFile = other + "/ca.pem" }, []string{"none of the authorities in M3O_TEMPORAL_CA_FILE", other + "/ca.pem"}},
		"no authority":                    {func(s *control.Security) { s.CAFile = "" }, []string{"no authority that this system trusts", "M3O_TEMPORAL_CA_FILE"}},
		"another name":                    {func(s *control.Security) { s.ServerName = "elsewhere.test" }, []string{"another name", "M3O_TEMPORAL_SERVER_NAME"}},
		"the address, which is not named": {func(s *control.Security) { s.ServerName = "" }, []string{"another name", "M3O_TEMPORAL_SERVER_NAME"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := g.good
			c.change(&s)
			client, err := dialWith(t, g.address, s)
			if err == nil {
				client.Close()
				t.Fatal("it was reached")
			}
			for _, word := range c.words {
				if !fault.Is(err, fault.Denied) || !strings.Contains(fault.Message(err), word) {
					t.Errorf("%q does not say %q", fault.Message(err), word)
				}
			}
		})
	}
	if came := g.came(); len(came) > 0 {
		t.Errorf("let through: %v", came)
	}
	c, err := dialWith(t, g.address, g.good)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.CheckHealth(within(t, 10*time.Second), &client.CheckHealthRequest{}); err != nil {
		t.Error(err)
	}
	if err := control.Prepare(within(t, time.Minute), control.Settings{Address: g.address, Security: g.good, Logger: slog.New(slog.DiscardHandler)}, control.Retention); err != nil {
		t.Errorf("prepare: %v", err)
	}
	if came := g.came(); !slices.Contains(came, "first") {
		t.Errorf("it came as %v", came)
	}
	if _, err := dialWith(t, address, g.good); err == nil || !strings.Contains(fault.Message(err), "does not speak TLS") {
		t.Errorf("a Temporal without TLS: %v", err)
	}
}

// TestARenewedCertificateIsUsed by the next connection, and half a renewal is passed over.
func TestARenewedCertificateIsUsed(t *testing.T) {
	g := newGuarded(t)
	c, err := dialWith(t, g.address, g.good)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	again := func(want string) {
		t.Helper()
		before := len(g.came())
		g.cut()
		for deadline := time.Now().Add(20 * time.Second); len(g.came()) == before; time.Sleep(50 * time.Millisecond) {
			_, _ = c.CheckHealth(within(t, time.Second), &client.CheckHealthRequest{})
			if time.Now().After(deadline) {
				t.Fatal("it does not come again")
			}
		}
		if came := g.came(); came[len(came)-1] != want {
			t.Errorf("it came as %v, want %q", came, want)
		}
	}
	dir := filepath.Dir(g.good.CAFile)
	pair, err := tls.LoadX509KeyPair(dir+"/server.pem", dir+"/server.key") // any that does not fit
	if err != nil {
		t.Fatal(err)
	}
	(&authority{t: t}).write(g.good.CertFile, "CERTIFICATE", pair.Certificate[0])
	again("first")
	if err := os.WriteFile(g.good.CertFile, []byte("half of i"), 0o600); err != nil {
		t.Fatal(err)
	}
	again("first")
	for _, name := range []string{"server.pem", "server.key"} { // signed by the authority, too
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, strings.Replace(name, "server", "client", 1)), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	again("temporal.test")
}

// asked is a Temporal that notes which keys calls carry.
type asked struct {
	workflowservice.UnimplementedWorkflowServiceServer
	mu   sync.Mutex
	keys []string
}

func (a *asked) GetSystemInfo(ctx context.Context, _ *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	given, _ := metadata.FromIncomingContext(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keys = append(a.keys, strings.Join(given.Get("authorization"), ","))
	return &workflowservice.GetSystemInfoResponse{Capabilities: &workflowservice.GetSystemInfoResponse_Capabilities{}}, nil
}

// serveAsked serves with the certificate, or in plain without one.
func serveAsked(t *testing.T, pair *tls.Certificate) (*asked, string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var options []grpc.ServerOption
	if pair != nil {
		options = append(options, grpc.Creds(credentials.NewServerTLSFromCert(pair)))
	}
	a, server := &asked{}, grpc.NewServer(options...)
	workflowservice.RegisterWorkflowServiceServer(server, a)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	return a, l.Addr().String()
}

// TestAnAPIKeyIsSentOverTLSAlone, and read again when it is renewed.
func TestAnAPIKeyIsSentOverTLSAlone(t *testing.T) {
	dir, ca := t.TempDir(), newAuthority(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	ca.write(at("ca.pem"), "CERTIFICATE", ca.cert.Raw)
	ca.issue("temporal.test", at("server.pem"), at("server.key"))
	pair, err := tls.LoadX509KeyPair(at("server.pem"), at("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	keep := func(key string) {
		if err := os.WriteFile(at("api.key"), []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keep("the-first-key\n")
	s := control.Security{APIKeyFile: at("api.key"), CAFile: at("ca.pem"), ServerName: "temporal.test"}
	safe, address := serveAsked(t, &pair)
	for _, key := range []string{"the-first-key", "the-second-key"} {
		keep(key + "\n")
		c, err := dialWith(t, address, s)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if got := safe.keys[len(safe.keys)-1]; got != "Bearer "+key {
			t.Errorf("it was asked with %q", got)
		}
	}
	open, address := serveAsked(t, nil)
	if c, err := dialWith(t, address, control.Security{APIKeyFile: at("api.key")}); err == nil {
		c.Close()
		t.Error("a key was sent in plain")
	} else if !strings.Contains(fault.Message(err), "does not speak TLS") || strings.Contains(err.Error(), "the-second-key") {
		t.Errorf("it says %v", err)
	}
	if len(open.keys) > 0 {
		t.Errorf("keys went over a plain connection: %v", open.keys)
	}
}

func TestSettingsOfTLSThatAreWrongAreNamed(t *testing.T) {
	dir, ca := t.TempDir(), newAuthority(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	ca.issue("us", at("us.pem"), at("us.key"))
	ca.issue("them", at("them.pem"), at("them.key"))
	for _, name := range []string{"empty", "two.lines"} {
		if err := os.WriteFile(at(name), []byte(strings.TrimPrefix(name, "empty")+"\na\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(at("empty"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		s     control.Security
		words []string
	}{
		"no key":               {control.Security{CertFile: at("us.pem")}, []string{"M3O_TEMPORAL_KEY_FILE must be set"}},
		"no certificate":       {control.Security{KeyFile: at("us.key")}, []string{"M3O_TEMPORAL_CERT_FILE must be set"}},
		"another's key":        {control.Security{CertFile: at("us.pem"), KeyFile: at("them.key")}, []string{"M3O_TEMPORAL_CERT_FILE and M3O_TEMPORAL_KEY_FILE"}},
		"no such file":         {control.Security{CertFile: at("none.pem"), KeyFile: at("us.key")}, []string{"M3O_TEMPORAL_CERT_FILE", "none.pem"}},
		"no authority":         {control.Security{CAFile: at("none.pem")}, []string{"M3O_TEMPORAL_CA_FILE", "none.pem"}},
		"authority of nothing": {control.Security{CAFile: at("us.key")}, []string{"M3O_TEMPORAL_CA_FILE", "holds no certificate"}},
		"no API key":           {control.Security{APIKeyFile: at("none.key")}, []string{"M3O_TEMPORAL_API_KEY_FILE", "none.key"}},
		"an empty API key":     {control.Security{APIKeyFile: at("empty")}, []string{"M3O_TEMPORAL_API_KEY_FILE", "one line"}},
		"an API key of two":    {control.Security{APIKeyFile: at("two.lines")}, []string{"M3O_TEMPORAL_API_KEY_FILE", "one line"}},
		"two ways to be known": {control.Security{CertFile: at("us.pem"), KeyFile: at("us.key"), APIKeyFile: at("two.lines")}, []string{"M3O_TEMPORAL_CERT_FILE and M3O_TEMPORAL_API_KEY_FILE"}},
	} {
		_, err := dialWith(t, address, c.s)
		for _, word := range c.words {
			if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.Message(err), word) {
				t.Errorf("%s: %v does not say %q", name, err, word)
			}
		}
	}
}

// TestPlaintextStaysOnTheMachine: a Temporal elsewhere is reached over TLS, unless it is said that a mesh encrypts the connection.
func TestPlaintextStaysOnTheMachine(t *testing.T) {
	settings := control.Settings{Codec: codec(t, keys(t)), Logger: slog.New(slog.DiscardHandler)}
	ended, cancel := context.WithCancel(t.Context())
	cancel() // nobody is called
	for _, address := range []string{"temporal:7233", "192.0.2.1:7233", "localhost.example.com:7233", "0.0.0.0:7233", "[2001:db8::1]:7233", "dns:///127.0.0.1:7233", ":7233"} {
		settings.Address, settings.Plaintext, settings.Security = address, false, control.Security{}
		for what, call := range map[string]func() error{
			"dial":    func() error { _, err := control.Dial(ended, settings); return err },
			"prepare": func() error { return control.Prepare(ended, settings, control.Retention) },
		} {
			err := call()
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "plaintext") || !strings.Contains(err.Error(), "M3O_TEMPORAL_CERT_FILE") ||
				!strings.Contains(err.Error(), "M3O_TEMPORAL_PLAINTEXT_ALLOW") {
				t.Errorf("%s %s: %v", what, address, err)
			}
		}
		settings.Plaintext = true
		if _, err := control.Dial(ended, settings); err == nil || strings.Contains(err.Error(), "plaintext") {
			t.Errorf("%s, allowed: %v", address, err)
		}
		settings.Plaintext, settings.Security.ServerName = false, "temporal.example.com"
		if _, err := control.Dial(ended, settings); err == nil || strings.Contains(err.Error(), "plaintext") {
			t.Errorf("%s, over TLS: %v", address, err)
		}
	}
	for _, address := range []string{"127.0.0.1:1", "localhost:1", "[::1]:1"} {
		settings.Address, settings.Security = address, control.Security{}
		if _, err := control.Dial(ended, settings); err == nil || strings.Contains(err.Error(), "plaintext") {
			t.Errorf("%s: %v", address, err)
		}
	}
}
