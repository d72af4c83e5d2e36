//go:build contract

package contract

import (
	"log/slog"
	"net/http"
	"testing"

	"github.com/m3o/platform/internal/sandbox/slack"
	"github.com/m3o/platform/internal/sandbox/world"
)

// slackOperations are the methods that the sandbox has.
var slackOperations = (*slack.Cloud)(nil).Operations()

// openSlack opens a workspace whose bot has the token xoxb-1.
func openSlack(t *testing.T, w *world.World, url string) http.Handler {
	t.Helper()
	cloud, err := slack.New(slack.Config{World: w, Credentials: slack.Credentials{BotToken: "xoxb-1", SigningSecret: "s"}, URL: url, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	return cloud
}
