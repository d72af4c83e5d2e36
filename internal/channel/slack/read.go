package slack

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/slack-go/slack"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

// HookPath is where the API takes Slack's interactions.
const HookPath = "/v1/hooks/slack"

// updates are what a button may ask for.
var updates = []string{alert.AcknowledgeUpdate, alert.ResolveUpdate, alert.EscalateUpdate, alert.SnoozeUpdate}

// Verify says why a request is not Slack's, or too old: its signature covers its time and its body, and is good for five minutes.
func Verify(h http.Header, body []byte, secret string) error {
	v, err := slack.NewSecretsVerifier(h, secret)
	if errors.Is(err, slack.ErrExpiredTimestamp) {
		return fault.Wrap(fault.Denied, err, "the request is older than five minutes")
	}
	if err == nil {
		_, _ = v.Write(body) // to a hash
		err = v.Ensure()
	}
	if err != nil {
		return fault.Wrap(fault.Denied, err, "the request is not signed by Slack")
	}
	return nil
}

// Read implements channel.Reader: the buttons of our messages. The API has verified the signature already.
func (a *Adapter) Read(_ context.Context, c alert.Callback) (alert.Meaning, error) {
	if !c.Trusted {
		return alert.Meaning{Kind: alert.Forged, Why: "nobody verified its signature"}, nil
	}
	form, err := url.ParseQuery(c.Body)
	if err != nil {
		return alert.Meaning{Kind: alert.MeansNothing, Why: "it is no form"}, nil
	}
	var pressed interaction
	if err := json.Unmarshal([]byte(form.Get("payload")), &pressed); err != nil {
		return alert.Meaning{Kind: alert.MeansNothing, Why: "it is no interaction"}, nil
	}
	if pressed.Type != string(slack.InteractionTypeBlockActions) || len(pressed.Actions) != 1 || pressed.User.ID == "" {
		return alert.Meaning{Kind: alert.MeansNothing, Why: "it is no button of ours"}, nil
	}
	button := pressed.Actions[0]
	if _, _, err := alert.AlertOf(button.Value); err != nil || !slices.Contains(updates, button.ActionID) {
		return alert.Meaning{Kind: alert.MeansNothing, Why: "it is no button of ours"}, nil
	}
	return alert.Meaning{Kind: alert.MeansCommand, From: pressed.User.ID, In: pressed.Channel.ID, Page: button.Value, Do: button.ActionID}, nil
}

// interaction is what we read of Slack's payload.
type interaction struct {
	Type    string              `json:"type"`
	User    struct{ ID string } `json:"user"`
	Channel struct{ ID string } `json:"channel"`
	Actions []struct {
		ActionID string `json:"action_id"`
		Value    string `json:"value"`
	} `json:"actions"`
}
