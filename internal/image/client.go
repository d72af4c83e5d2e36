package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"

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

// call is the bounds and the options of one operation on one image.
func (c Client) call(ctx context.Context) (*bounded, []remote.Option) {
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
	bounds := &bounded{next: transport}
	return bounds, append(opts, remote.WithTransport(bounds))
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
	_, opts := c.call(ctx)
	if err := remote.Write(target, img, opts...); err != nil {
		return "", explain(err, target)
	}
	return byDigest.Name(), nil
}

// Resolve finds what a reference means now, and returns it by digest. An image without a build for linux on arch is
// refused, and so is one that is larger than we take.
func (c Client) Resolve(ctx context.Context, reference, arch string) (string, error) {
	ref, err := c.parse(reference)
	if err != nil {
		return "", err
	}
	bounds, opts := c.call(ctx)
	found, err := remote.Get(ref, opts...)
	if err != nil {
		return "", explain(err, ref)
	}
	built := found
	if found.MediaType.IsIndex() {
		if built, err = childFor(found, ref, arch, opts); err != nil {
			return "", explain(err, ref)
		}
	}
	if !built.MediaType.IsImage() {
		return "", fault.New(fault.Invalid, "%s is no image but %s", reference, built.MediaType)
	}
	if err := runsOn(built, bounds, arch); err != nil {
		return "", explain(err, ref)
	}
	return ref.Context().Digest(found.Digest.String()).Name(), nil
}

// childFor is the image of an index that is for linux on arch. An index in an index is not looked into: each would cost a
// request, and there is no end to them.
func childFor(index *remote.Descriptor, ref name.Reference, arch string, opts []remote.Option) (*remote.Descriptor, error) {
	list, err := v1.ParseIndexManifest(bytes.NewReader(index.Manifest))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "its index cannot be read")
	}
	at := slices.IndexFunc(list.Manifests, func(d v1.Descriptor) bool {
		platform := v1.Platform{OS: "linux", Architecture: "amd64"} // where none is named
		if d.Platform != nil {
			platform = *d.Platform
		}
		return d.MediaType.IsImage() && platform.OS == "linux" && platform.Architecture == arch
	})
	if at < 0 {
		return nil, fault.New(fault.Invalid, "there is no image for linux/%s", arch)
	}
	child := list.Manifests[at]
	if child.Size < 0 || child.Size > maxManifest {
		return nil, fault.New(fault.Invalid, "the manifest for linux/%s is declared to have %d bytes, and may have %d", arch, child.Size, int64(maxManifest))
	}
	return remote.Get(ref.Context().Digest(child.Digest.String()), opts...)
}

// runsOn reads the image's manifest and config, and refuses what is too large or for other machines.
func runsOn(image *remote.Descriptor, bounds *bounded, arch string) error {
	manifest, err := v1.ParseManifest(bytes.NewReader(image.Manifest))
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "its manifest cannot be read")
	}
	if err := checkDeclared(manifest); err != nil {
		return err
	}
	bounds.declare(manifest.Config)
	img, err := image.Image()
	if err != nil {
		return err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return err
	}
	if config.OS != "linux" || config.Architecture != arch {
		return fault.New(fault.Invalid, "it is for %s/%s and does not run on linux/%s", config.OS, config.Architecture, arch)
	}
	return nil
}

// Has reports whether the registry holds the manifest of the reference, and its digest reference.
func (c Client) Has(ctx context.Context, reference string) (byDigest string, ok bool, err error) {
	ref, err := c.parse(reference)
	if err != nil {
		return "", false, err
	}
	_, opts := c.call(ctx)
	found, err := remote.Head(ref, opts...)
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
