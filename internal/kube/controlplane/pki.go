package controlplane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/m3o/platform/internal/kube/addresses"
)

// A sandbox cluster has no renewal, so its certificates outlive it.
const certificateLife = 10 * 365 * 24 * time.Hour

// Authority is a certificate authority whose key stays in one directory.
type Authority struct {
	// CertPEM is the authority's own certificate.
	CertPEM []byte

	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Identity is what a certificate says about its holder.
type Identity struct {
	User   string
	Groups []string
	// Names and IPs make the certificate a server's; without any it is a client's.
	Names []string
	IPs   []net.IP
}

// KeyPair is a certificate and its key, PEM encoded.
type KeyPair struct {
	Cert, Key []byte
}

// Issue signs a new key pair for id.
func (a *Authority) Issue(id Identity) (KeyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return KeyPair{}, fmt.Errorf("make a key for %s: %w", id.User, err)
	}
	template, err := leaf(id)
	if err != nil {
		return KeyPair{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return KeyPair{}, fmt.Errorf("sign the certificate of %s: %w", id.User, err)
	}
	return encodePair(der, key)
}

func leaf(id Identity) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	usage := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(id.Names)+len(id.IPs) > 0 {
		usage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	start := time.Now().Add(-time.Hour)
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: id.User, Organization: id.Groups},
		NotBefore:    start,
		NotAfter:     start.Add(certificateLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  usage,
		DNSNames:     id.Names,
		IPAddresses:  id.IPs,
	}, nil
}

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make a certificate serial: %w", err)
	}
	return serial, nil
}

func newAuthority(name string) (*Authority, KeyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, KeyPair{}, fmt.Errorf("make the key of authority %s: %w", name, err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, KeyPair{}, err
	}
	start := time.Now().Add(-time.Hour)
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             start,
		NotAfter:              start.Add(certificateLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, KeyPair{}, fmt.Errorf("sign authority %s: %w", name, err)
	}
	pair, err := encodePair(der, key)
	if err != nil {
		return nil, KeyPair{}, err
	}
	authority, err := parseAuthority(pair)
	return authority, pair, err
}

func parseAuthority(pair KeyPair) (*Authority, error) {
	certBlock, _ := pem.Decode(pair.Cert)
	keyBlock, _ := pem.Decode(pair.Key)
	if certBlock == nil || keyBlock == nil {
		return nil, errors.New("the authority's certificate or key is not PEM")
	}
	cert, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the authority's certificate: %w", err)
	}
	key, err := x509.ParseECPrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the authority's key: %w", err)
	}
	return &Authority{CertPEM: pair.Cert, cert: cert, key: key}, nil
}

func encodePair(der []byte, key *ecdsa.PrivateKey) (KeyPair, error) {
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return KeyPair{}, fmt.Errorf("encode a key: %w", err)
	}
	return KeyPair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
	}, nil
}

// pki is the directory that holds the control plane's keys and certificates.
type pki struct {
	dir       string
	authority *Authority
}

func (p *pki) cert(name string) string { return filepath.Join(p.dir, name+".crt") }
func (p *pki) key(name string) string  { return filepath.Join(p.dir, name+".key") }

func (p *pki) pair(name string) (KeyPair, error) {
	cert, err := os.ReadFile(p.cert(name))
	if err != nil {
		return KeyPair{}, fmt.Errorf("read a certificate: %w", err)
	}
	key, err := os.ReadFile(p.key(name))
	if err != nil {
		return KeyPair{}, fmt.Errorf("read a key: %w", err)
	}
	return KeyPair{Cert: cert, Key: key}, nil
}

// openPKI returns the keys in dir, making them all at the first start. They
// appear by one rename, so a kill leaves either all of them or none.
func openPKI(dir string) (*pki, error) {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		if err := makePKI(dir); err != nil {
			return nil, err
		}
	}
	p := &pki{dir: dir}
	pair, err := p.pair("ca")
	if err != nil {
		return nil, err
	}
	p.authority, err = parseAuthority(pair)
	return p, err
}

func makePKI(dir string) error {
	draft := dir + ".new"
	if err := os.RemoveAll(draft); err != nil {
		return fmt.Errorf("remove half-made keys: %w", err)
	}
	if err := os.MkdirAll(draft, 0o700); err != nil {
		return fmt.Errorf("make the key directory: %w", err)
	}
	for _, write := range []func(string) error{writeClusterPairs, writeProxyPairs, writeServiceAccountKey} {
		if err := write(draft); err != nil {
			return err
		}
	}
	if err := os.Rename(draft, dir); err != nil {
		return fmt.Errorf("keep the keys: %w", err)
	}
	return nil
}

func writeClusterPairs(dir string) error {
	authority, pair, err := newAuthority("kubernetes")
	if err != nil {
		return err
	}
	if err := writePair(dir, "ca", pair); err != nil {
		return err
	}
	return issueAll(dir, authority, map[string]Identity{
		"apiserver":          serverIdentity(),
		"kubelet-client":     {User: "kube-apiserver-kubelet-client", Groups: []string{"system:masters"}},
		"controller-manager": {User: "system:kube-controller-manager"},
		"scheduler":          {User: "system:kube-scheduler"},
		"cluster":            {User: "m3o-kube", Groups: []string{"system:masters"}},
	})
}

// writeProxyPairs makes the front proxy's own authority, which the API server
// uses to speak to aggregated API servers.
func writeProxyPairs(dir string) error {
	authority, pair, err := newAuthority("front-proxy")
	if err != nil {
		return err
	}
	if err := writePair(dir, "front-proxy-ca", pair); err != nil {
		return err
	}
	return issueAll(dir, authority, map[string]Identity{"front-proxy": {User: "front-proxy-client"}})
}

func serverIdentity() Identity {
	return Identity{
		User: "kube-apiserver",
		Names: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			addresses.APIName, addresses.MachineName},
		IPs: []net.IP{net.IPv4(127, 0, 0, 1), addresses.APIService.Addr().AsSlice(), addresses.Gateway.AsSlice(), addresses.Machine.AsSlice()},
	}
}

func issueAll(dir string, authority *Authority, identities map[string]Identity) error {
	for name, id := range identities {
		pair, err := authority.Issue(id)
		if err != nil {
			return err
		}
		if err := writePair(dir, name, pair); err != nil {
			return err
		}
	}
	return nil
}

func writePair(dir, name string, pair KeyPair) error {
	if err := os.WriteFile(filepath.Join(dir, name+".crt"), pair.Cert, 0o600); err != nil {
		return fmt.Errorf("write certificate %s: %w", name, err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".key"), pair.Key, 0o600); err != nil {
		return fmt.Errorf("write key %s: %w", name, err)
	}
	return nil
}

func writeServiceAccountKey(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make the service account key: %w", err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode the service account key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("encode the service account key: %w", err)
	}
	return writePair(dir, "service-account", KeyPair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}),
	})
}
