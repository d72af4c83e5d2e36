//go:build contract

package contract

import (
	"net/http"
	"testing"

	"github.com/m3o/platform/internal/channel"
	"github.com/m3o/platform/internal/channel/slack"
)

// newSlackAdapter is our adapter, through a transport.
func newSlackAdapter(t *testing.T, url string, transport http.RoundTripper) channel.Adapter {
	t.Helper()
	adapter, err := slack.New(slack.Config{Token: "xoxb-1", URL: url, Transport: transport})
	must(t, err)
	return adapter
}
