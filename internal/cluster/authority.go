package cluster

import (
	"bytes"
	"context"
	"crypto"
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
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// The secrets of CockroachDB. The authority's key is in a secret of its own that no pod mounts.
const (
	authoritySecret = "cockroachdb-authority"
	nodeSecret      = "cockroachdb-node"
	rootSecret      = "cockroachdb-root"
)

// How long certificates live. A leaf is made anew by the first ApplyParts after renewBefore; its pods then roll.
const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 365 * 24 * time.Hour
	renewBefore   = 90 * 24 * time.Hour
	backdated     = time.Hour // clocks differ
)

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	pem         []byte
	key         crypto.Signer
}

// leaf is one certificate under the authority, and the names of its files as CockroachDB looks for them.
type leaf struct {
	secret, file, commonName string
	hosts                    []string
	addresses                []net.IP
	usage                    []x509.ExtKeyUsage
}

// cockroachLeaves are the certificate all nodes show, and the one of the SQL user root.
var cockroachLeaves = []leaf{
	{secret: nodeSecret, file: "node", commonName: "node", hosts: cockroachHosts(), addresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		usage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}},
	{secret: rootSecret, file: "client.root", commonName: "root", usage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}},
}

// cockroachHosts are all names under which a pod of the region may call a node.
func cockroachHosts() []string {
	hosts := []string{"localhost"}
	for _, service := range []string{string(region.CockroachDB), "*." + membersService(region.CockroachDB)} {
		for _, domain := range []string{"", "." + ResourceNamespace, "." + ResourceNamespace + ".svc", "." + ResourceNamespace + ".svc.cluster.local"} {
			hosts = append(hosts, service+domain)
		}
	}
	return hosts
}

// ensureAuthority makes CockroachDB's authority and certificates exist: made once, found again, leaves renewed in time.
func (c *Client) ensureAuthority(ctx context.Context, key region.Key) error {
	labels := partLabels(key, region.CockroachDB, string(region.CockroachDB))
	secret, err := c.secretOnce(ctx, authoritySecret, labels, func() (map[string][]byte, error) { return newAuthority(key, time.Now()) })
	if err != nil {
		return err
	}
	signer, err := readAuthority(secret.Data)
	if err != nil {
		return fault.Wrap(fault.Failed, err, "secret %s/%s does not hold a certificate authority any more", ResourceNamespace, authoritySecret)
	}
	for _, l := range cockroachLeaves {
		if err := c.ensureLeaf(ctx, signer, l, labels); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) ensureLeaf(ctx context.Context, signer authority, l leaf, labels map[string]string) error {
	now := time.Now()
	secret, err := c.secretOnce(ctx, l.secret, labels, func() (map[string][]byte, error) { return signer.sign(l, now) })
	if err != nil || signer.vouches(secret.Data[l.file+".crt"], now.Add(renewBefore)) {
		return err
	}
	if secret.Data, err = signer.sign(l, now); err != nil {
		return err
	}
	_, err = c.typed.CoreV1().Secrets(ResourceNamespace).Update(ctx, secret, metav1.UpdateOptions{FieldManager: manager})
	return explain(err, "renew secret %s/%s", ResourceNamespace, l.secret)
}

// certificateTroubles says which secrets are missing, and which certificates the next ApplyParts would renew.
func (c *Client) certificateTroubles(ctx context.Context) ([]string, error) {
	var troubles []string
	for secret, file := range map[string]string{authoritySecret: "ca.crt", nodeSecret: "node.crt", rootSecret: "client.root.crt"} {
		name := described("secret", ResourceNamespace, secret)
		found, err := c.typed.CoreV1().Secrets(ResourceNamespace).Get(ctx, secret, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			troubles = append(troubles, "missing: "+name)
			continue
		}
		if err != nil {
			return nil, explain(err, "read %s", name)
		}
		certificate, err := readCertificate(found.Data[file])
		if err != nil {
			troubles = append(troubles, name+": "+file+" is not a certificate")
		} else if certificate.NotAfter.Before(time.Now().Add(renewBefore)) {
			troubles = append(troubles, fmt.Sprintf("%s: %s ends on %s", name, file, certificate.NotAfter.Format(time.DateOnly)))
		}
	}
	slices.Sort(troubles)
	return troubles, nil
}

// authorityFingerprint changes when nodes must read their certificates again; it is "" before there are any.
func (c *Client) authorityFingerprint(ctx context.Context) (string, error) {
	secret, err := c.typed.CoreV1().Secrets(ResourceNamespace).Get(ctx, nodeSecret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", explain(err, "read secret %s/%s", ResourceNamespace, nodeSecret)
	}
	return fingerprint(secret.Data["ca.crt"], secret.Data["node.crt"]), nil
}

func newAuthority(key region.Key, now time.Time) (map[string][]byte, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "CockroachDB of " + key.String(), Organization: []string{manager}}, IsCA: true, BasicConstraintsValid: true,
		MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign,
		NotBefore: now.Add(-backdated), NotAfter: now.Add(authorityLife),
	}
	return issue(template, template, private, private, "ca")
}

func (a authority) sign(l leaf, now time.Time) (map[string][]byte, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: l.commonName, Organization: []string{manager}}, DNSNames: l.hosts, IPAddresses: l.addresses,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: l.usage, NotBefore: now.Add(-backdated), NotAfter: now.Add(leafLife),
	}
	files, err := issue(template, a.certificate, private, a.key, l.file)
	if err != nil {
		return nil, err
	}
	files["ca.crt"] = a.pem
	return files, nil
}

// issue signs a certificate and returns it and its key as the files name.crt and name.key.
func issue(template, parent *x509.Certificate, private *ecdsa.PrivateKey, signer crypto.Signer, name string) (map[string][]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	template.SerialNumber = serial
	certificate, err := x509.CreateCertificate(rand.Reader, template, parent, private.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate %s: %w", name, err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("encode the key of %s: %w", name, err)
	}
	return map[string][]byte{
		name + ".crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		name + ".key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	}, nil
}

func readAuthority(files map[string][]byte) (authority, error) {
	certificate, err := readCertificate(files["ca.crt"])
	if err != nil {
		return authority{}, err
	}
	block, _ := pem.Decode(files["ca.key"])
	if block == nil {
		return authority{}, errors.New("ca.key is not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return authority{}, errors.New("ca.key is not a private key")
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok || !signer.PublicKey.Equal(certificate.PublicKey) {
		return authority{}, errors.New("ca.key is not the key of ca.crt")
	}
	return authority{certificate: certificate, pem: files["ca.crt"], key: signer}, nil
}

func readCertificate(file []byte) (*x509.Certificate, error) {
	block, rest := pem.Decode(file)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("not one certificate in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

// vouches reports whether the certificate is the authority's and will still be valid then.
func (a authority) vouches(file []byte, then time.Time) bool {
	certificate, err := readCertificate(file)
	return err == nil && certificate.CheckSignatureFrom(a.certificate) == nil && certificate.NotAfter.After(then)
}

// fromSecret mounts files of a secret. The mode and pods' group (restricted) are what CockroachDB accepts of a key file.
func fromSecret(volume, name string) corev1.Volume {
	return corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{
		Secret: &corev1.SecretVolumeSource{SecretName: name, DefaultMode: new(int32(0o440))}}}
}
