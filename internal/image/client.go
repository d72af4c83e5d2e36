package image

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/m3o/platform/internal/fault"
)

// Client talks to registries: in plain HTTP to those on the loopback, in HTTPS to all others but our own, if that is said to
// speak plain HTTP. The zero value calls as nobody in particular.
type Client struct {
	Keychain  authn.Keychain    // credentials by registry; nil: anonymous
	Transport http.RoundTripper // nil: the library's own
	Own       string            // "host:port" of our own registry,
	HTTP      bool              // whether it speaks plain HTTP,
	Password  string            // and what it demands; sent to no other
}

func (c Client) options(ctx context.Context) []remote.Option {
	opts := []remote.Option{remote.WithContext(ctx), remote.WithUserAgent("m3o")}
	if c.Keychain != nil {
		opts = append(opts, remote.WithAuthFromKeychain(c.Keychain))
	}
	transport := c.Transport
	if transport == nil {
		transport = remote.DefaultTransport
	}
	if c.Password != "" {
		transport = withPassword{own: c.Own, password: c.Password, next: transport}
	}
	return append(opts, remote.WithTransport(transport))
}

// withPassword adds the password to calls of our own registry.
type withPassword struct {
	own, password string
	next          http.RoundTripper
}

func (w withPassword) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host == w.own {
		req = req.Clone(req.Context())
		req.SetBasicAuth("m3o", w.password)
	}
	return w.next.RoundTrip(req)
}

// Push brings the image to the repository ("host/path"), under the tag unless it is empty, and returns the reference by
// digest. What is there already is not sent again; pushing twice is harmless.
func (c Client) Push(ctx context.Context, repository, tag string, img v1.Image) (string, error) {
	digest, err := img.Digest()
	if err != nil {
		return "", fmt.Errorf("push image: %w", err)
	}
	byDigest, err := c.parse(repository + "@" + digest.String())
	if err != nil {
		return "", err
	}
	target := byDigest
	if tag != "" {
		if target, err = c.parse(repository + ":" + tag); err != nil {
			return "", err
		}
	}
	if err := remote.Write(target, img, c.options(ctx)...); err != nil {
		return "", explain(err, target)
	}
	return byDigest.Name(), nil
}

// Resolve finds what a reference means now, and returns it by digest. An image without a build for linux on arch is
// refused.
func (c Client) Resolve(ctx context.Context, reference, arch string) (string, error) {
	ref, err := c.parse(reference)
	if err != nil {
		return "", err
	}
	found, err := remote.Get(ref, append(c.options(ctx), remote.WithPlatform(v1.Platform{OS: "linux", Architecture: arch}))...)
	if err != nil {
		return "", explain(err, ref)
	}
	if !found.MediaType.IsIndex() && !found.MediaType.IsImage() {
		return "", fault.New(fault.Invalid, "%s is no image but %s", reference, found.MediaType)
	}
	if err := runsOn(found, ref, arch); err != nil {
		return "", err
	}
	return ref.Context().Digest(found.Digest.String()).Name(), nil
}

func runsOn(found *remote.Descriptor, ref name.Reference, arch string) error {
	img, err := found.Image()
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "%s has no image for linux/%s", ref.Name(), arch)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return explain(err, ref)
	}
	if config.OS != "linux" || config.Architecture != arch {
		return fault.New(fault.Invalid, "%s is for %s/%s and does not run on linux/%s", ref.Name(), config.OS, config.Architecture, arch)
	}
	return nil
}

// Has reports whether the registry holds the manifest of the reference, and its digest reference.
func (c Client) Has(ctx context.Context, reference string) (byDigest string, ok bool, err error) {
	ref, err := c.parse(reference)
	if err != nil {
		return "", false, err
	}
	found, err := remote.Head(ref, c.options(ctx)...)
	if err != nil {
		if err := explain(err, ref); !fault.Is(err, fault.NotFound) {
			return "", false, err
		}
		return "", false, nil
	}
	return ref.Context().Digest(found.Digest.String()).Name(), true, nil
}

// parse reads a reference as the field does: no registry means Docker Hub, no tag means latest.
func (c Client) parse(reference string) (name.Reference, error) {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "%q is not an image reference", reference)
	}
	registry := ref.Context().RegistryStr()
	if !onLoopback(registry) && !(c.HTTP && registry == c.Own) {
		return ref, nil
	}
	return name.ParseReference(reference, name.Insecure)
}

func onLoopback(registry string) bool {
	host, _, err := net.SplitHostPort(registry)
	if err != nil {
		host = registry
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// explain puts a registry's error into words for whoever named the image.
func explain(err error, ref name.Reference) error {
	registry := ref.Context().RegistryStr()
	var answer *transport.Error
	var known *fault.Error
	if errors.As(err, &known) {
		return fault.Wrap(known.Kind, err, "the image %s: %s", ref.Name(), known.Message)
	}
	if !errors.As(err, &answer) {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return fault.Wrap(fault.Unavailable, err, "the registry %s did not answer in time", registry)
		}
		return fault.Wrap(fault.Unavailable, err, "the registry %s cannot be reached", registry)
	}
	switch code := answer.StatusCode; {
	case code == http.StatusNotFound:
		return fault.Wrap(fault.NotFound, err, "there is no image %s", ref.Name())
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return fault.Wrap(fault.Denied, err, "the registry %s does not let us have %s: it is private, or not there", registry, ref.Name())
	case code == http.StatusTooManyRequests:
		return fault.Wrap(fault.Throttled, err, "the registry %s says we ask too often", registry)
	case code == http.StatusRequestEntityTooLarge:
		return fault.Wrap(fault.Invalid, err, "the image %s is too large for the registry %s", ref.Name(), registry)
	case code == http.StatusInsufficientStorage:
		return fault.Wrap(fault.Full, err, "the image %s was not stored: %s", ref.Name(), told(answer, "the registry "+registry+" is full"))
	case code >= 500 || code == http.StatusRequestTimeout:
		return fault.Wrap(fault.Unavailable, err, "the registry %s failed with status %d", registry, code)
	}
	return fault.Wrap(fault.Failed, err, "the registry %s refused %s with status %d", registry, ref.Name(), answer.StatusCode)
}

// told is what a registry's answer says, or otherwise.
func told(answer *transport.Error, otherwise string) string {
	for _, e := range answer.Errors {
		if e.Message != "" {
			return e.Message
		}
	}
	return otherwise
}
