package gcp

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/m3o/platform/internal/sandbox/world"
)

// Account is the service account that callers are, with its key. The key is the caller's secret as well: the file that they have is
// made of it.
type Account struct {
	// ID is the part of the address before the @.
	ID  string
	Key *rsa.PrivateKey
}

// Email is the account's address.
func (a Account) Email() string { return a.ID + "@" + ProjectID + ".iam.gserviceaccount.com" }

// ClientID is the account's number.
func (a Account) ClientID() string { return numberID(a.Email()) }

// keyID names the key.
func (a Account) keyID() string {
	sum := sha256.Sum256(x509.MarshalPKCS1PublicKey(&a.Key.PublicKey))
	return fmt.Sprintf("%x", sum[:20])
}

// credentials is the file of a service account's key, as the console makes it.
type credentials struct {
	Type           string `json:"type"`
	ProjectID      string `json:"project_id"`
	PrivateKeyID   string `json:"private_key_id"`
	PrivateKey     string `json:"private_key"`
	ClientEmail    string `json:"client_email"`
	ClientID       string `json:"client_id"`
	AuthURI        string `json:"auth_uri"`
	TokenURI       string `json:"token_uri"`
	UniverseDomain string `json:"universe_domain"`
}

// NewAccount makes an account's key.
func NewAccount(id string) (Account, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return Account{}, fmt.Errorf("make a key: %w", err)
	}
	return Account{ID: id, Key: key}, nil
}

// File is the file with the account's key, for clients of the cloud at that URL.
func (a Account) File(url string) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(a.Key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return json.MarshalIndent(credentials{Type: "service_account", ProjectID: ProjectID, PrivateKeyID: a.keyID(),
		PrivateKey:  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		ClientEmail: a.Email(), ClientID: a.ClientID(), AuthURI: url + "/o/oauth2/auth", TokenURI: url + "/token", UniverseDomain: "googleapis.com"}, "", "  ")
}

// ReadAccount reads a file that File made.
func ReadAccount(data []byte) (Account, error) {
	var file credentials
	if err := json.Unmarshal(data, &file); err != nil {
		return Account{}, fmt.Errorf("the file of the service account is not JSON: %w", err)
	}
	block, _ := pem.Decode([]byte(file.PrivateKey))
	if block == nil {
		return Account{}, errors.New("the file of the service account has no private_key in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return Account{}, fmt.Errorf("the private_key of the service account: %w", err)
	}
	private, isRSA := key.(*rsa.PrivateKey)
	id, _, isAddress := strings.Cut(file.ClientEmail, "@")
	if !isRSA || !isAddress {
		return Account{}, errors.New("the file of the service account is not one of an RSA key")
	}
	return Account{ID: id, Key: private}, nil
}

// tokenRefusal is an error as OAuth words it.
type tokenRefusal struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
	status      int
}

func (r *tokenRefusal) Error() string { return r.Description }

func invalidGrant(format string, args ...any) error {
	return &tokenRefusal{Code: "invalid_grant", Description: fmt.Sprintf(format, args...), status: http.StatusBadRequest}
}

// jwtBearer is the grant of who signs an assertion with a service account's key.
const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// claims are what an assertion says.
type claims struct {
	Issuer   string `json:"iss"`
	Scope    string `json:"scope"`
	Audience string `json:"aud"`
	Expires  int64  `json:"exp"`
	Issued   int64  `json:"iat"`
}

// issueToken gives an access token for an assertion.
func issueToken(r *request) (any, error) {
	form, err := url.ParseQuery(string(r.body))
	if err != nil {
		return nil, &tokenRefusal{Code: "invalid_request", Description: "The body is not a form.", status: http.StatusBadRequest}
	}
	if grant := form.Get("grant_type"); grant != jwtBearer {
		return nil, &tokenRefusal{Code: "unsupported_grant_type", Description: "Invalid grant_type: " + grant, status: http.StatusBadRequest}
	}
	said, err := r.cloud.Account.verify(form.Get("assertion"))
	if err != nil {
		return nil, err
	}
	if err := said.check(r.At); err != nil {
		return nil, err
	}
	life := max(shortestToken, r.cloud.World.Clock.Scaled(tokenLife))
	token, err := r.cloud.Account.sign(said.Issuer, r.At.Add(life))
	return document{"access_token": token, "expires_in": int(life / time.Second), "token_type": "Bearer"}, err
}

// verify reads an assertion, if the account's key signed it.
func (a Account) verify(assertion string) (claims, error) {
	var said claims
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 || len(assertion) > maxAssertion {
		return said, invalidGrant("Bad Request: the assertion is not a JWT.")
	}
	var header struct {
		Algorithm string `json:"alg"`
		Type      string `json:"typ"`
		KeyID     string `json:"kid"`
	}
	for i, into := range []any{&header, &said} {
		data, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(data, into) != nil {
			return said, invalidGrant("Bad Request: part %d of the assertion is not JSON in base64url.", i+1)
		}
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || header.Algorithm != "RS256" {
		return said, invalidGrant("Invalid JWT: it must be signed with RS256.")
	}
	if said.Issuer != a.Email() {
		return said, invalidGrant("Invalid grant: account not found")
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(&a.Key.PublicKey, crypto.SHA256, sum[:], signature) != nil {
		return said, invalidGrant("Invalid JWT Signature.")
	}
	return said, nil
}

// check says what is wrong with an assertion that was signed well.
func (c claims) check(now time.Time) error {
	const tolerance = 5 * time.Minute
	issued, expires := time.Unix(c.Issued, 0), time.Unix(c.Expires, 0)
	switch {
	case !strings.HasSuffix(c.Audience, "/token"):
		return invalidGrant("Invalid JWT: Failed audience check. The right audience is the token endpoint.")
	case now.Before(issued.Add(-tolerance)) || now.After(expires.Add(tolerance)) || expires.Sub(issued) > time.Hour+tolerance:
		return invalidGrant("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.")
	case c.Scope == "":
		return &tokenRefusal{Code: "invalid_scope", Description: "Empty or missing scope not allowed.", status: http.StatusBadRequest}
	}
	if !slices.ContainsFunc(strings.Fields(c.Scope), func(s string) bool {
		return s == "https://www.googleapis.com/auth/cloud-platform" || s == "https://www.googleapis.com/auth/compute"
	}) {
		return &tokenRefusal{Code: "invalid_scope", Description: "The sandbox grants the scope cloud-platform.", status: http.StatusBadRequest}
	}
	return nil
}

// tokenBody is what a token says to us; to everybody else it is opaque.
type tokenBody struct {
	Email   string `json:"e"`
	Expires int64  `json:"x"`
	Nonce   []byte `json:"n"`
}

const tokenPrefix = "ya29."

// secret is what tokens are signed with. It is the account's as long as its key is.
func (a Account) secret() []byte {
	sum := sha256.Sum256(append([]byte("access tokens of "), x509.MarshalPKCS1PrivateKey(a.Key)...))
	return sum[:]
}

// sign makes an access token.
func (a Account) sign(email string, expires time.Time) (string, error) {
	nonce := make([]byte, 12)
	if _, err := rand.Read(nonce); err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	body, err := json.Marshal(tokenBody{Email: email, Expires: expires.Unix(), Nonce: nonce})
	if err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	mac := hmac.New(sha256.New, a.secret())
	_, _ = mac.Write(body)
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(append(mac.Sum(nil), body...)), nil
}

// read says whose a token is and when it ends, whether it has or not.
func (a Account) read(token string) (email string, expires time.Time, err error) {
	invalidToken := errors.New("not an access token of this project")
	text, isOurs := strings.CutPrefix(token, tokenPrefix)
	if !isOurs || len(token) > maxAssertion {
		return "", expires, invalidToken
	}
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(data) < sha256.Size {
		return "", expires, invalidToken
	}
	mac := hmac.New(sha256.New, a.secret())
	_, _ = mac.Write(data[sha256.Size:])
	var body tokenBody
	if !hmac.Equal(mac.Sum(nil), data[:sha256.Size]) || json.Unmarshal(data[sha256.Size:], &body) != nil {
		return "", expires, invalidToken
	}
	return body.Email, time.Unix(body.Expires, 0), nil
}

// callerOf is the service account of an access token that is good.
func (c *Cloud) callerOf(ctx context.Context, token string) (string, error) {
	email, expires, err := c.Account.read(token)
	if err != nil {
		return "", unauthenticated("ACCESS_TOKEN_TYPE_UNSUPPORTED")
	}
	if !c.World.Clock.Now().Before(expires) {
		return "", unauthenticated("ACCESS_TOKEN_EXPIRED")
	}
	err = c.World.View(ctx, func(tx *world.Tx) error {
		_, err := world.Get[serviceAccount](tx, ref(kindAccount, email))
		return err
	})
	if isNotFound(err) {
		return "", unauthenticated("ACCOUNT_STATE_INVALID")
	}
	return email, err
}

// Authenticate says who a token is of, as a cluster's API server asks. Every account of the project is known to every cluster; who
// may do everything in clusters is their administrator.
func (c *Cloud) Authenticate(ctx context.Context, cluster, token string) (user string, groups []string, err error) {
	email, err := c.callerOf(ctx, token)
	if err != nil {
		return "", nil, err
	}
	err = c.World.View(ctx, func(tx *world.Tx) error {
		_, err := loadFamily(tx, cluster)
		return err
	})
	if err != nil {
		return "", nil, err
	}
	if !c.granted.has("container.clusters.get") {
		return "", nil, fmt.Errorf("%s lacks container.clusters.get", email)
	}
	if c.granted.administers() {
		groups = append(groups, "system:masters")
	}
	return email, groups, nil
}

// tokenInfo tells about a token.
func tokenInfo(r *request) (any, error) {
	token := r.Request.URL.Query().Get("access_token")
	if form, err := url.ParseQuery(string(r.body)); err == nil && token == "" {
		token = form.Get("access_token")
	}
	email, expires, err := r.cloud.Account.read(token)
	left := expires.Sub(r.At)
	if err != nil || left <= 0 {
		return nil, &tokenRefusal{Code: "invalid_token", Description: "Invalid Value", status: http.StatusBadRequest}
	}
	id := numberID(email)
	return document{"azp": id, "aud": id, "scope": "https://www.googleapis.com/auth/cloud-platform", "exp": strconv.FormatInt(expires.Unix(), 10),
		"expires_in": strconv.Itoa(int(left / time.Second)), "email": email, "email_verified": "true", "access_type": "online"}, nil
}
