package azure

import (
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

const (
	// KubernetesAudience is the application that stands for the API servers of all AKS clusters. It is the same in every tenant.
	KubernetesAudience = "6dae42f8-4368-4678-94ff-3960e28e3630"
	// tokenLife is how long an access token is good for. It is not scaled: clients compare it with real clocks.
	tokenLife = time.Hour
	// maxToken bounds what is parsed as one.
	maxToken = 16 << 10
)

// armAudiences are those that a token for the Resource Manager may have.
var armAudiences = []string{"https://management.core.windows.net/", "https://management.core.windows.net",
	"https://management.azure.com/", "https://management.azure.com"}

// claims are those of an access token for an application.
type claims struct {
	jwt.RegisteredClaims
	Tenant      string `json:"tid"`
	Object      string `json:"oid"`
	Application string `json:"appid"`
	AuthMethod  string `json:"appidacr"`
	Provider    string `json:"idp"`
	IDType      string `json:"idtyp"`
	UTI         string `json:"uti"`
	Version     string `json:"ver"`
}

// authority signs and verifies the directory's tokens.
type authority struct {
	account Account
	keyID   string
	now     func() time.Time
}

func newAuthority(account Account, now func() time.Time) *authority {
	sum := sha256.Sum256(account.Key.N.Bytes())
	return &authority{account: account, keyID: base64.RawURLEncoding.EncodeToString(sum[:20]), now: now}
}

// issue makes an access token for the account's service principal.
func (a *authority) issue(audience string) (string, error) {
	now := a.now()
	issuer := "https://sts.windows.net/" + a.account.Tenant + "/"
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{Audience: jwt.ClaimStrings{audience}, Issuer: issuer, Subject: a.account.Object,
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now.Add(-5 * time.Minute)), ExpiresAt: jwt.NewNumericDate(now.Add(tokenLife))},
		Tenant: a.account.Tenant, Object: a.account.Object, Application: a.account.Client, AuthMethod: "1", Provider: issuer,
		IDType: "app", UTI: strings.ReplaceAll(uuid.NewString(), "-", "")[:22], Version: "1.0"})
	token.Header["kid"], token.Header["x5t"] = a.keyID, a.keyID
	signed, err := token.SignedString(a.account.Key)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return signed, nil
}

// verify reads an access token of the directory for one of the audiences.
func (a *authority) verify(token string, audiences []string) (claims, error) {
	var got claims
	if len(token) > maxToken {
		return got, errors.New("the token is too long")
	}
	_, err := jwt.ParseWithClaims(token, &got, func(*jwt.Token) (any, error) { return &a.account.Key.PublicKey, nil },
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer("https://sts.windows.net/"+a.account.Tenant+"/"),
		jwt.WithExpirationRequired(), jwt.WithTimeFunc(a.now))
	if err != nil {
		return claims{}, err
	}
	for _, audience := range audiences {
		for _, one := range got.Audience {
			if one == audience {
				return got, nil
			}
		}
	}
	return claims{}, jwt.ErrTokenInvalidAudience
}

// keys is the key set by which others verify the directory's tokens.
func (a *authority) keys() map[string]any {
	public := a.account.Key.PublicKey
	return map[string]any{"keys": []map[string]any{{
		"kty": "RSA", "use": "sig", "kid": a.keyID, "x5t": a.keyID, "n": base64.RawURLEncoding.EncodeToString(public.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(public.E)).Bytes())}}}
}

// Account is who uses the subscription: one service principal of one directory.
type Account struct {
	Tenant, Subscription string
	Client, Secret       string
	// Object is the service principal's object id, which role assignments name.
	Object string
	// Key signs the directory's tokens.
	Key *rsa.PrivateKey
}

// check says what is missing.
func (a Account) check() error {
	for name, value := range map[string]string{"tenant": a.Tenant, "subscription": a.Subscription, "client": a.Client, "object": a.Object} {
		if _, err := uuid.Parse(value); err != nil {
			return fmt.Errorf("the sandbox's Azure account: %s %q is not a UUID", name, value)
		}
	}
	if a.Secret == "" || a.Key == nil {
		return errors.New("the sandbox's Azure account needs a client secret and a signing key")
	}
	return nil
}
