package aws

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Signatures of version 4, recomputed with the account's secret as the services do. What is signed, and how, is in the IAM user guide,
// "Create a signed AWS API request".

const (
	algorithm  = "AWS4-HMAC-SHA256"
	stampForm  = "20060102T150405Z"
	signedLife = 15 * time.Minute
	// maxSignedHeaders bounds the list that a request can name.
	maxSignedHeaders = 100
)

// signature is what a request says about how it is signed.
type signature struct {
	key, date, region, service string
	headers                    []string
	value                      string
	stamp                      string
	at                         time.Time
}

// parseAuthorization reads the header of a signed request.
func parseAuthorization(header, stamp string) (signature, error) {
	var s signature
	kind, rest, _ := strings.Cut(strings.TrimSpace(header), " ")
	if kind != algorithm {
		return s, fmt.Errorf("the Authorization header does not begin with %s", algorithm)
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		parts[name] = value
	}
	return readSignature(parts["Credential"], parts["SignedHeaders"], parts["Signature"], stamp)
}

// parsePresigned reads the query of a URL that is signed itself.
func parsePresigned(query url.Values) (signature, error) {
	if query.Get("X-Amz-Algorithm") != algorithm {
		return signature{}, fmt.Errorf("X-Amz-Algorithm is not %s", algorithm)
	}
	return readSignature(query.Get("X-Amz-Credential"), query.Get("X-Amz-SignedHeaders"), query.Get("X-Amz-Signature"), query.Get("X-Amz-Date"))
}

func readSignature(credential, headers, value, stamp string) (signature, error) {
	s := signature{value: value, stamp: stamp}
	scope := strings.Split(credential, "/")
	if len(scope) != 5 || scope[4] != "aws4_request" {
		return s, fmt.Errorf("the credential %.60q is not KEY/DATE/REGION/SERVICE/aws4_request", credential)
	}
	s.key, s.date, s.region, s.service = scope[0], scope[1], scope[2], scope[3]
	s.headers = strings.Split(headers, ";")
	if len(s.headers) > maxSignedHeaders || !slices.IsSorted(s.headers) || !slices.Contains(s.headers, "host") {
		return s, fmt.Errorf("the signed headers %.60q are not a sorted list with host in it", headers)
	}
	var err error
	if s.at, err = time.Parse(stampForm, stamp); err != nil || !strings.HasPrefix(stamp, s.date) {
		return s, fmt.Errorf("the date %.40q is none, or not that of the credential", stamp)
	}
	return s, nil
}

// matches reports whether a request was signed with the secret. payload is the hash of its body, as hex.
func (s signature) matches(secret, method string, u *url.URL, query string, header http.Header, payload string) bool {
	var lines strings.Builder
	for _, name := range s.headers {
		values := header.Values(name)
		for i, v := range values {
			values[i] = strings.Join(strings.Fields(v), " ")
		}
		fmt.Fprintf(&lines, "%s:%s\n", name, strings.Join(values, ","))
	}
	canonical := strings.Join([]string{method, canonicalPath(u), query, lines.String(), strings.Join(s.headers, ";"), payload}, "\n")
	scope := strings.Join([]string{s.date, s.region, s.service, "aws4_request"}, "/")
	text := strings.Join([]string{algorithm, s.stamp, scope, hexHash([]byte(canonical))}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.date, s.region, s.service, "aws4_request"} {
		key = keyedHash(key, part)
	}
	want := hex.EncodeToString(keyedHash(key, text))
	return hmac.Equal([]byte(want), []byte(s.value))
}

func keyedHash(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func hexHash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// canonicalPath escapes the path as it was sent once more, as all services but S3 do.
func canonicalPath(u *url.URL) string {
	path := u.EscapedPath()
	if path == "" {
		return "/"
	}
	return escape(path, true)
}

// canonicalQuery sorts and escapes a query, without the parameter left out.
func canonicalQuery(query url.Values, leftOut string) string {
	escaped := map[string][]string{}
	for name, values := range query {
		if name == leftOut {
			continue
		}
		for _, value := range values {
			escaped[escape(name, false)] = append(escaped[escape(name, false)], escape(value, false))
		}
	}
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(escaped)) {
		for _, value := range slices.Sorted(slices.Values(escaped[name])) {
			pairs = append(pairs, name+"="+value)
		}
	}
	return strings.Join(pairs, "&")
}

// escape is the URI encoding that signatures are made over: all but letters, digits and "-_.~", and slashes of a path.
func escape(text string, path bool) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-_.~", c) >= 0, path && c == '/':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// verify checks the signature of a request with that body.
func (c *Cloud) verify(s signature, r *http.Request, body []byte, words words) error {
	if s.key != c.AccessKey {
		return &words.unknown
	}
	if age := c.World.Clock.Now().Sub(s.at); age > signedLife || age < -signedLife {
		return &words.expired
	}
	// The server keeps the host apart from the other headers.
	header := r.Header.Clone()
	header.Set("Host", r.Host)
	if r.ContentLength >= 0 {
		header.Set("Content-Length", fmt.Sprint(r.ContentLength))
	}
	payload := hexHash(body)
	if told := r.Header.Get("X-Amz-Content-Sha256"); told != "" && told != payload {
		return &words.mismatched
	}
	if !s.matches(c.Secret, r.Method, r.URL, canonicalQuery(r.URL.Query(), ""), header, payload) {
		return &words.mismatched
	}
	return nil
}
