package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certificateLife is longer than anybody keeps a sandbox's directory: nothing renews its certificates.
const certificateLife = 10 * 365 * 24 * time.Hour

// AuthorityFile is where a sandbox's directory has the certificate of the authority that those of its HTTPS ports are signed by, as
// PEM. It is made at the first start and stays the same. Its key is beside it, for nobody but the sandbox.
func AuthorityFile(dir string) string { return filepath.Join(dir, "ca.pem") }

// authority signs the certificates of the clouds that speak HTTPS.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// openAuthority reads the authority of a directory, and makes it the first time. The key is written first, and the certificate can be
// made anew from it, so that a kill between the two does no harm.
func openAuthority(dir string) (*authority, error) {
	key, err := keptKey(filepath.Join(dir, "ca.key"))
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(AuthorityFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		data, err = selfSigned(key)
		if err == nil {
			err = writeWhole(AuthorityFile(dir), data, 0o644)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the sandbox's certificate authority: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s is not a PEM certificate: remove it and ca.key to have them made anew", AuthorityFile(dir))
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", AuthorityFile(dir), err)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("%s does not belong to ca.key: remove both to have them made anew", AuthorityFile(dir))
	}
	return &authority{cert: cert, key: key}, nil
}

// keptKey reads a private key, and makes it the first time.
func keptKey(path string) (*ecdsa.PrivateKey, error) {
	data, err := os.ReadFile(path)
	if err == nil {
		block, _ := pem.Decode(data)
		if block == nil {
			return nil, fmt.Errorf("%s is not a PEM key: remove it and ca.pem to have them made anew", path)
		}
		key, err := x509.ParseECPrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the key of the sandbox's certificate authority: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return key, writeWhole(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

// selfSigned is an authority's own certificate, as PEM.
func selfSigned(key *ecdsa.PrivateKey) ([]byte, error) {
	template, err := certificateFor("M3O sandbox")
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// server is a certificate for this machine's loopback, with a key that is kept nowhere: whoever trusts the authority trusts the next
// one as well.
func (a *authority) server() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a key: %w", err)
	}
	template, err := certificateFor("localhost")
	if err != nil {
		return tls.Certificate{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.DNSNames = []string{"localhost"}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("sign a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}, nil
}

func certificateFor(name string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	start := time.Now().Add(-time.Hour)
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: start, NotAfter: start.Add(certificateLife)}, nil
}
