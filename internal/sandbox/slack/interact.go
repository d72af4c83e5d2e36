package slack

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/m3o/platform/internal/sandbox/inbox"
	"github.com/m3o/platform/internal/sandbox/world"
)

// patience is how long Slack waits for an answer to an interaction, before it tells the person that the app did not respond.
const patience = 3 * time.Second

// response is an address for answers to an interaction.
type response struct {
	ID      string    `json:"id"`
	Secret  string    `json:"secret"`
	Message string    `json:"message"` // the id
	Member  string    `json:"member"`
	Uses    int       `json:"uses"`
	Until   time.Time `json:"until"`
}

// An address for answers is good for half an hour and five uses.
const (
	responseLife = 30 * time.Minute
	responseUses = 5
)

// Signature is Slack's of a request: the app's signing secret keys HMAC-SHA256 of the version, the time and the body.
func Signature(secret, timestamp, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "v0:%s:%s", timestamp, body)
	return "v0=" + hex.EncodeToString(mac.Sum(nil))
}

// Press implements inbox.Presser: a member presses a button, and Slack calls the request URL at once. As there, it is called once: who sees
// that nothing came of it presses again.
func (c *Cloud) Press(ctx context.Context, shown inbox.Message, b inbox.Button, by inbox.Person) error {
	now := c.World.Clock.Now()
	var payload map[string]any
	err := c.World.Update(ctx, func(tx *world.Tx) error {
		m, err := world.Get[message](tx, ref(kindMessage, strings.TrimPrefix(shown.ID, Name+"-")))
		if err != nil {
			return err
		}
		answers, err := c.newResponse(tx, m, by, now)
		if err != nil {
			return err
		}
		payload = c.interaction(m, b, by, answers, now)
		return inbox.Act(tx, shown.ID, inbox.Action{At: now, Text: b.Label})
	})
	if err != nil {
		return err
	}
	result := c.call(ctx, payload)
	return c.World.Update(ctx, func(tx *world.Tx) error { return inbox.Settle(tx, shown.ID, result) })
}

func (c *Cloud) newResponse(tx *world.Tx, m message, by inbox.Person, now time.Time) (response, error) {
	secret := make([]byte, 24)
	if _, err := rand.Read(secret); err != nil {
		return response{}, err
	}
	r := response{ID: hex.EncodeToString(secret[:8]), Secret: hex.EncodeToString(secret[8:]), Message: m.id(), Member: by.Member(), Until: now.Add(responseLife)}
	return r, tx.Put(ref(kindResponse, r.ID), world.Meta{}, r)
}

// interaction is what Slack posts when a button is pressed.
func (c *Cloud) interaction(m message, b inbox.Button, by inbox.Person, answers response, now time.Time) map[string]any {
	ts := fmt.Sprintf("%d.%06d", now.Unix(), now.Nanosecond()/1000)
	action := map[string]any{"type": "button", "action_id": b.ID, "block_id": b.Block, "value": b.Value, "action_ts": ts,
		"text": text{Type: "plain_text", Text: b.Label}}
	if b.Style != "" {
		action["style"] = b.Style
	}
	room := map[string]string{"id": m.Channel, "name": "directmessage"}
	for name, id := range rooms {
		if id == m.Channel {
			room["name"] = name
		}
	}
	return map[string]any{"type": "block_actions", "api_app_id": app, "token": "deprecated", "trigger_id": answers.ID + "." + answers.Secret[:8],
		"user":      map[string]string{"id": by.Member(), "username": by.Name, "name": by.Name, "team_id": team},
		"team":      map[string]string{"id": team, "domain": domain},
		"container": map[string]any{"type": "message", "message_ts": m.TS, "channel_id": m.Channel, "is_ephemeral": m.Member != ""},
		"channel":   room, "message": m.wire(), "actions": []any{action}, "is_enterprise_install": false, "enterprise": nil,
		"state": map[string]any{"values": map[string]any{}}, "response_url": c.URL + "/actions/" + team + "/" + answers.ID + "/" + answers.Secret}
}

// call posts an interaction, signed, and says what came of it.
func (c *Cloud) call(ctx context.Context, payload map[string]any) string {
	if c.RequestURL == "" {
		return "the app has no request URL: start the sandbox with --hooks"
	}
	data, err := json.Marshal(payload)
	if err != nil {
		return err.Error()
	}
	body := url.Values{"payload": {string(data)}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.RequestURL, strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	timestamp := strconv.FormatInt(c.World.Clock.Now().Unix(), 10)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("User-Agent", "Slackbot 1.0 (+https://api.slack.com/robots)")
	request.Header.Set("X-Slack-Request-Timestamp", timestamp)
	request.Header.Set("X-Slack-Signature", Signature(c.Credentials.SigningSecret, timestamp, body))
	answer, err := c.client.Do(request)
	if err != nil {
		return "the app did not respond: " + err.Error()
	}
	_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, maxBody))
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return "the app did not respond: " + err.Error()
	}
	if answer.StatusCode >= http.StatusMultipleChoices {
		return fmt.Sprintf("the app refused (%d)", answer.StatusCode)
	}
	return fmt.Sprintf("taken (%d)", answer.StatusCode)
}

// respond takes an answer to an interaction, at the address that came with it.
func (c *Cloud) respond(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Text     string          `json:"text"`
		Blocks   json.RawMessage `json:"blocks"`
		Replace  bool            `json:"replace_original"`
		Delete   bool            `json:"delete_original"`
		Response string          `json:"response_type"`
		Thread   string          `json:"thread_ts"`
	}
	err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody)).Decode(&asked)
	now := c.World.Clock.Now()
	m := message{Text: asked.Text, PostedAt: now, UpdatedAt: now, Thread: asked.Thread}
	if err == nil && len(asked.Blocks) > 0 && string(asked.Blocks) != "null" {
		m.Blocks, err = readBlocks(string(asked.Blocks))
	}
	if err == nil {
		err = c.World.Update(r.Context(), func(tx *world.Tx) error {
			return c.answerTo(tx, r.PathValue("id"), r.PathValue("secret"), m, asked.Replace, asked.Response == "in_channel")
		})
	}
	switch {
	case errors.Is(err, world.ErrNotFound):
		http.Error(w, "expired_url", http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		_, _ = io.WriteString(w, "ok") // the caller may have gone
	}
}

// answerTo posts an answer to an interaction: in place of its message, in its channel, or for the one who acted alone.
func (c *Cloud) answerTo(tx *world.Tx, id, secret string, m message, replace, all bool) error {
	r, err := world.Get[response](tx, ref(kindResponse, id))
	if err != nil {
		return err
	}
	if r.Secret != secret || r.Uses >= responseUses || c.World.Clock.Now().After(r.Until) {
		return world.ErrNotFound
	}
	r.Uses++
	old, err := world.Get[message](tx, ref(kindMessage, r.Message))
	if err != nil {
		return err
	}
	to, err := find(tx, old.Channel)
	if err != nil {
		return err
	}
	kind := world.Sent
	if m.Channel = old.Channel; replace {
		m, kind = old.replaced(m), world.Updated
	} else if m.TS, err = newTS(tx, m.Channel, m.PostedAt); err != nil {
		return err
	} else if !all {
		m.Member = r.Member
	}
	return errors.Join(tx.Put(ref(kindResponse, id), world.Meta{}, r), m.post(tx, to), tx.Record(m.effect(kind, "response_url", to.address(), m.UpdatedAt)))
}
