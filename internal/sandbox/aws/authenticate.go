package aws

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/m3o/platform/internal/sandbox/world"
)

// A token for the API server of a cluster is a URL of STS, signed by who holds it: whoever is given it can ask STS who that is. We
// recompute the signature instead. What a token must be is what aws-iam-authenticator, which EKS runs, makes sure of.

const (
	tokenPrefix = "k8s-aws-v1."
	// tokenLife is how long after it was signed a token is good for.
	tokenLife = 15 * time.Minute
	maxToken  = 4 << 10
	// namedCluster is the header that ties a token to a cluster.
	namedCluster = "x-k8s-aws-id"
	// emptyHash is that of no body.
	emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// tokenParameters are those that a token's URL may have.
var tokenParameters = []string{"action", "version", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-security-token", "x-amz-signature",
	"x-amz-signedheaders", "x-amz-user-agent"}

// Authenticate says who a token is of, for a cluster by the id that its runner knows it by. The token is in no error.
func (c *Cloud) Authenticate(ctx context.Context, real, token string) (user string, groups []string, err error) {
	var in cluster
	var entries []entry
	err = c.World.View(ctx, func(tx *world.Tx) error {
		list, err := all(tx, kindCluster, func(one cluster) bool { return one.Real == real })
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return errors.New("there is no such cluster")
		}
		in = list[0]
		entries, err = within[entry](tx, kindEntry, in.Key(), nil)
		return err
	})
	if err != nil {
		return "", nil, err
	}
	if err := c.checkToken(token, in.Shown.Name); err != nil {
		return "", nil, err
	}
	if in.Shown.AccessConfig.Mode == inConfigMap && in.Creator == c.user() {
		return "kubernetes-admin", []string{"system:masters"}, nil
	}
	i := slices.IndexFunc(entries, func(e entry) bool { return e.Shown.Principal == c.user() })
	if i < 0 {
		return "", nil, fmt.Errorf("%s has no access entry in the cluster %s", c.user(), in.Shown.Name)
	}
	groups = slices.Clone(entries[i].Shown.Groups)
	for _, p := range entries[i].Policies {
		groups = append(groups, accessPolicies[strings.TrimPrefix(p.ARN, accessPolicyPrefix)]...)
	}
	return entries[i].Shown.Username, groups, nil
}

// checkToken says what is wrong with a token for the cluster of that name.
func (c *Cloud) checkToken(token, name string) error {
	encoded, isOne := strings.CutPrefix(token, tokenPrefix)
	if !isOne || len(token) > maxToken {
		return fmt.Errorf("the token does not begin with %s, or has more than %d bytes", tokenPrefix, maxToken)
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil {
		return errors.New("what follows the token's prefix is not base64")
	}
	u, err := url.Parse(string(text))
	if err != nil {
		return errors.New("what is in the token is no URL")
	}
	if err := c.checkTokenURL(u); err != nil {
		return err
	}
	query := u.Query()
	s, err := parsePresigned(query)
	if err != nil {
		return err
	}
	if s.service != "sts" || !slices.Contains(s.headers, namedCluster) {
		return errors.New("the token is not signed for STS, or " + namedCluster + " is not among what is signed")
	}
	if s.key != c.AccessKey {
		return errors.New("the token's access key is not one of the account")
	}
	now := c.World.Clock.Now()
	if age := now.Sub(s.at); age > tokenLife || age < -signedLife {
		return fmt.Errorf("the token was signed %s ago, and is good for %s", age.Round(time.Second), tokenLife)
	}
	header := http.Header{}
	header.Set("Host", u.Host)
	header.Set(namedCluster, name)
	if !s.matches(c.Secret, http.MethodGet, u, canonicalQuery(query, "X-Amz-Signature"), header, emptyHash) {
		return fmt.Errorf("the token's signature is not that of a request for the cluster %s", name)
	}
	return nil
}

// checkTokenURL makes sure that the URL asks STS, or the sandbox in its place, who the caller is.
func (c *Cloud) checkTokenURL(u *url.URL) error {
	query := u.Query()
	host := u.Hostname()
	isSTS := host == "sts.amazonaws.com" || strings.HasPrefix(host, "sts.") && strings.HasSuffix(host, ".amazonaws.com")
	isOurs := host == "127.0.0.1" || host == "localhost"
	switch {
	case u.Scheme != "https" && !isOurs || !isSTS && !isOurs:
		return fmt.Errorf("the token is for the host %.60q, not one of STS", host)
	case u.Path != "/" && u.Path != "":
		return fmt.Errorf("the token is for the path %.60q", u.Path)
	case query.Get("Action") != "GetCallerIdentity":
		return fmt.Errorf("the token is for the action %.60q", query.Get("Action"))
	}
	for name, values := range query {
		if !slices.Contains(tokenParameters, strings.ToLower(name)) || len(values) != 1 {
			return fmt.Errorf("the token has the parameter %.60q, or twice", name)
		}
	}
	return nil
}
