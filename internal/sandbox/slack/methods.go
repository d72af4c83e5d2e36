package slack

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/m3o/platform/internal/sandbox/inbox"
	"github.com/m3o/platform/internal/sandbox/world"
)

func testAuth(c *exchange) (map[string]any, error) {
	return map[string]any{"url": c.cloud.URL + "/", "team": "M3O sandbox", "user": botName, "team_id": team, "user_id": bot, "bot_id": botID,
		"is_enterprise_install": false}, nil
}

// compose is the message that a request describes.
func (c *exchange) compose() (message, error) {
	m := message{Text: c.form.Get("text"), Thread: c.form.Get("thread_ts"), ClientID: c.form.Get("client_msg_id"), PostedAt: c.At, UpdatedAt: c.At}
	var err error
	if m.Blocks, err = readBlocks(c.form.Get("blocks")); err != nil {
		return m, err
	}
	switch {
	case m.Text == "" && len(m.Blocks) == 0:
		return m, failure("no_text")
	case len(m.Text) > maxText:
		return m, failure("msg_too_long")
	}
	if data := c.form.Get("metadata"); data != "" && data != "{}" {
		if err := json.Unmarshal([]byte(data), &m.Metadata); err != nil {
			return m, failure("invalid_metadata_format")
		}
		if m.Metadata.Type == "" { // the client sends it empty where there is none
			m.Metadata = nil
		}
	}
	return m, nil
}

func postMessage(c *exchange) (map[string]any, error) {
	m, err := c.compose()
	if err == nil {
		err = c.undeliverable()
	}
	if err != nil {
		return nil, err
	}
	return c.post(m, func(*world.Tx, conversation) error { return nil })
}

func postEphemeral(c *exchange) (map[string]any, error) {
	m, err := c.compose()
	if err == nil {
		err = c.undeliverable()
	}
	if err != nil {
		return nil, err
	}
	m.Member = c.form.Get("user")
	answer, err := c.post(m, func(tx *world.Tx, _ conversation) error {
		person, err := inbox.Owner(tx, inbox.Slack, m.Member)
		if err == nil && person.Name == "" {
			err = failure("user_not_in_channel")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"message_ts": answer["ts"]}, nil
}

// undeliverable uses up the fault of a recipient who is not there.
func (c *exchange) undeliverable() error {
	found := false
	err := c.View(func(tx *world.Tx) (err error) {
		_, found, err = tx.TakeFault(Name, c.Operation, c.Target, world.Undeliverable)
		return err
	})
	if err == nil && found {
		err = failure("channel_not_found")
	}
	return err
}

// post posts a message, unless check refuses. One with the client_msg_id of another in the channel is that other one.
func (c *exchange) post(m message, check func(*world.Tx, conversation) error) (map[string]any, error) {
	err := c.Commit(func(tx *world.Tx) error {
		to, err := find(tx, c.form.Get("channel"))
		if err != nil {
			return err
		}
		if err := check(tx, to); err != nil {
			return err
		}
		if old, found, err := earlier(tx, to, m.ClientID); err != nil || found {
			m = old
			return err
		}
		m.Channel = to.id
		if m.TS, err = newTS(tx, to.id, c.At); err != nil {
			return err
		}
		if _, m.Dropped, err = tx.TakeFault(Name, c.Operation, c.Target, world.Dropped); err != nil {
			return err
		}
		return errors.Join(m.post(tx, to), tx.Record(m.effect(world.Sent, c.Operation, to.address(), c.At)))
	})
	return map[string]any{"channel": m.Channel, "ts": m.TS, "message": m.wire()}, err
}

// remembered is how many of a conversation's messages are looked through for a client_msg_id.
const remembered = 200

// earlier finds the message that came with the same client_msg_id.
func earlier(tx *world.Tx, to conversation, clientID string) (message, bool, error) {
	if clientID == "" {
		return message{}, false, nil
	}
	found, err := world.Newest[message](tx, ref(kindMessage, ""), to.address(), remembered)
	i := slices.IndexFunc(found, func(m message) bool { return m.ClientID == clientID })
	if i < 0 {
		return message{}, false, err
	}
	return found[i], true, err
}

func updateMessage(c *exchange) (map[string]any, error) {
	m, err := c.compose()
	if err != nil {
		return nil, err
	}
	err = c.Commit(func(tx *world.Tx) error {
		to, err := find(tx, c.form.Get("channel"))
		if err != nil {
			return err
		}
		old, err := world.Get[message](tx, ref(kindMessage, message{Channel: to.id, TS: c.form.Get("ts")}.id()))
		if errors.Is(err, world.ErrNotFound) || err == nil && old.Member != "" {
			return failure("message_not_found")
		}
		if err != nil {
			return err
		}
		m = old.replaced(m)
		return errors.Join(m.post(tx, to), tx.Record(m.effect(world.Updated, c.Operation, to.address(), c.At)))
	})
	return map[string]any{"channel": m.Channel, "ts": m.TS, "text": m.Text, "message": m.wire()}, err
}

// replaced is a message with another one's content.
func (m message) replaced(by message) message {
	m.Text, m.Blocks, m.UpdatedAt = by.Text, by.Blocks, by.UpdatedAt
	m.Edits++
	if by.Metadata != nil {
		m.Metadata = by.Metadata
	}
	return m
}

// wire is a message in the API's form.
func (m message) wire() map[string]any {
	w := map[string]any{"type": "message", "user": bot, "bot_id": botID, "team": team, "text": m.Text, "ts": m.TS}
	if len(m.Blocks) > 0 {
		w["blocks"] = m.Blocks
	}
	if m.Metadata != nil {
		w["metadata"] = m.Metadata
	}
	if m.Thread != "" {
		w["thread_ts"] = m.Thread
	}
	if m.Edits > 0 {
		w["edited"] = map[string]string{"user": bot, "ts": m.TS}
	}
	return w
}

// history lists a conversation's messages, the newest first, without those in threads.
func history(c *exchange) (map[string]any, error) {
	found, err := c.listed(func(m message) bool { return m.Thread == "" || m.Thread == m.TS })
	slices.Reverse(found)
	answer := c.page(found)
	answer["pin_count"], answer["channel_actions_ts"], answer["channel_actions_count"] = 0, nil, 0
	return answer, err
}

// replies lists a thread: the message that it began with, and then the answers to it, the oldest first.
func replies(c *exchange) (map[string]any, error) {
	thread := c.form.Get("ts")
	found, err := c.listed(func(m message) bool { return m.TS == thread || m.Thread == thread })
	if err == nil && len(found) == 0 {
		err = failure("thread_not_found")
	}
	return c.page(found), err
}

// listed are the messages of the conversation that are meant, and that everybody sees.
func (c *exchange) listed(meant func(message) bool) (found []message, err error) {
	err = c.View(func(tx *world.Tx) error {
		to, err := find(tx, c.form.Get("channel"))
		if err == nil {
			found, err = world.Children[message](tx, ref(kindMessage, to.id))
		}
		return err
	})
	oldest, latest := c.form.Get("oldest"), c.form.Get("latest")
	return slices.DeleteFunc(found, func(m message) bool {
		return m.Member != "" || !meant(m) || later(oldest, m.TS) || latest != "" && later(m.TS, latest)
	}), err
}

// page is the start of a list of messages, as the answer has it.
func (c *exchange) page(found []message) map[string]any {
	limit, err := strconv.Atoi(c.form.Get("limit"))
	if err != nil || limit < 1 || limit > 1000 {
		limit = 100
	}
	all := c.form.Get("include_all_metadata")
	messages := []map[string]any{}
	for _, m := range found[:min(limit, len(found))] {
		w := m.wire()
		if all != "1" && all != "true" {
			delete(w, "metadata")
		}
		messages = append(messages, w)
	}
	return map[string]any{"messages": messages, "has_more": len(found) > limit}
}

// later compares times of messages; the empty one is before all.
func later(a, b string) bool {
	x, _ := strconv.ParseFloat(a, 64)
	y, _ := strconv.ParseFloat(b, 64)
	return x > y
}

func openConversation(c *exchange) (map[string]any, error) {
	what := c.form.Get("channel")
	if users := c.form.Get("users"); users != "" {
		if strings.Contains(users, ",") {
			return nil, failure("not_enough_users") // conversations of several are not here
		}
		what = users
	}
	var to conversation
	already := false
	err := c.Commit(func(tx *world.Tx) (err error) {
		if to, err = find(tx, what); err != nil || to.name != "" {
			return errors.Join(err, failure("user_not_found"))
		}
		name, err := tx.NameOf(ref(kindDirect, to.id))
		already = name != ""
		if err != nil || already {
			return err
		}
		return tx.Put(ref(kindDirect, to.id), world.Meta{Name: to.member.Name}, map[string]string{"id": to.id, "user": to.member.Member()})
	})
	channel := map[string]any{"id": to.id}
	if c.form.Get("return_im") == "true" {
		channel = map[string]any{"id": to.id, "created": c.At.Unix(), "is_im": true, "is_org_shared": false, "user": to.member.Member(), "is_open": true,
			"last_read": "0000000000.000000", "latest": nil, "priority": 0, "unread_count": 0, "unread_count_display": 0}
	}
	return map[string]any{"no_op": already, "already_open": already, "channel": channel}, err
}

func userInfo(c *exchange) (map[string]any, error) {
	return c.user("user_not_found", func(p inbox.Person) bool { return p.Member() == c.form.Get("user") })
}

func lookupByEmail(c *exchange) (map[string]any, error) {
	return c.user("users_not_found", func(p inbox.Person) bool { return strings.EqualFold(p.Email, c.form.Get("email")) })
}

// user tells of the member that is meant, or fails with those words.
func (c *exchange) user(none failure, is func(inbox.Person) bool) (map[string]any, error) {
	var people []inbox.Person
	if err := c.View(func(tx *world.Tx) (err error) {
		people, err = inbox.People(tx)
		return err
	}); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(people, is)
	if i < 0 {
		return nil, none
	}
	p := people[i]
	profile := map[string]any{"real_name": p.Name, "real_name_normalized": p.Name, "display_name": p.Name, "display_name_normalized": p.Name, "email": p.Email,
		"team": team, "avatar_hash": "g000000000000", "fields": map[string]any{}, "phone": p.Phone, "skype": "", "status_emoji": "", "status_text": "", "title": ""}
	for _, size := range []string{"24", "32", "48", "72", "192", "512"} {
		profile["image_"+size] = c.cloud.URL + "/avatars/" + p.Name + "-" + size + ".png"
	}
	return map[string]any{"user": map[string]any{"id": p.Member(), "team_id": team, "name": p.Name, "real_name": p.Name, "deleted": false, "color": "9f69e7",
		"tz": "Europe/London", "tz_label": "Greenwich Mean Time", "tz_offset": 0, "profile": profile, "is_admin": false, "is_owner": false,
		"is_primary_owner": false, "is_restricted": false, "is_ultra_restricted": false, "is_bot": false, "is_app_user": false, "updated": c.At.Unix(), "has_2fa": true}}, nil
}
