// Package outbound is how the providers reach their clouds: by a client that keeps a worker's credentials to the cloud they are for, and
// reads no more than a cloud has to say. It signs nothing and repeats nothing: the first is each provider's business, the second its
// caller's.
//
// Only the providers import it.
package outbound

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/m3o/platform/internal/fault"
)

// MaxBody is how many bytes an answer has at most.
const MaxBody = 32 << 20

var errTooLarge = errors.New("the answer is larger than any this program asks for")

// Client carries requests by the transport (nil for http.DefaultTransport), each for so long. Its answers are bounded. It follows no
// redirects: transports that add credentials would add them for whoever a redirect leads to.
func Client(timeout time.Duration, transport http.RoundTripper) *http.Client {
	if transport == nil {
		transport = http.DefaultTransport
	}
	return &http.Client{Timeout: timeout, Transport: bounding{transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Base checks where a cloud is said to be, and returns it without a slash at its end; "" stays. In clear, requests go to this machine alone.
// The fault is Invalid.
func Base(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	base, err := url.Parse(text)
	switch {
	case err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.User != nil:
		return "", fault.New(fault.Invalid, "%q is not the base URL of an API: write one like https://host:port", text)
	case base.Scheme == "http" && !isLoopback(base.Hostname()):
		return "", fault.New(fault.Invalid, "%q would send credentials in clear: write https, or an address of this machine", text)
	}
	return strings.TrimRight(text, "/"), nil
}

func isLoopback(host string) bool {
	address := net.ParseIP(host)
	return host == "localhost" || address != nil && address.IsLoopback()
}

type bounding struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounding) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	response.Body = &bounded{ReadCloser: response.Body, left: MaxBody}
	return response, nil
}

type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
