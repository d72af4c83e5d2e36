package slack

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/m3o/platform/internal/sandbox/inbox"
)

// Limits of messages.
const (
	maxText    = 40_000
	maxBlocks  = 50
	maxSection = 3000
	maxButtons = 25
)

// block is one of Block Kit's, as far as it is read.
type block struct {
	Type      string    `json:"type"`
	ID        string    `json:"block_id,omitempty"`
	Text      *text     `json:"text,omitempty"`
	Fields    []text    `json:"fields,omitempty"`
	Elements  []element `json:"elements,omitempty"`
	Accessory *element  `json:"accessory,omitempty"`
}

// text is a text object: mrkdwn or plain_text.
type text struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Emoji    *bool  `json:"emoji,omitempty"`
	Verbatim *bool  `json:"verbatim,omitempty"`
}

// element is a button, or in a context block a text object.
type element struct {
	Type     string          `json:"type"`
	ActionID string          `json:"action_id,omitempty"`
	Text     json.RawMessage `json:"text,omitempty"` // an object of buttons, a string of context
	Value    string          `json:"value,omitempty"`
	Style    string          `json:"style,omitempty"`
	URL      string          `json:"url,omitempty"`
	Confirm  json.RawMessage `json:"confirm,omitempty"`
	Emoji    *bool           `json:"emoji,omitempty"`
	Verbatim *bool           `json:"verbatim,omitempty"`
}

// label is a button's.
func (e element) label() text {
	var t text
	_ = json.Unmarshal(e.Text, &t) // checked when it came
	return t
}

// readBlocks reads and checks the blocks of a message.
func readBlocks(data string) ([]block, error) {
	if data == "" {
		return nil, nil
	}
	var blocks []block
	if err := json.Unmarshal([]byte(data), &blocks); err != nil {
		return nil, failure("invalid_blocks_format")
	}
	if len(blocks) > maxBlocks {
		return nil, failure("invalid_blocks")
	}
	for i, b := range blocks {
		if b.ID == "" {
			blocks[i].ID = fmt.Sprintf("b%d", i)
		}
		if !b.valid() {
			return nil, failure("invalid_blocks")
		}
	}
	return blocks, nil
}

// valid reports whether Slack takes the block.
func (b block) valid() bool {
	switch b.Type {
	case "header":
		return b.Text != nil && b.Text.Type == "plain_text" && b.Text.Text != "" && len(b.Text.Text) <= 150
	case "section":
		return (b.Text != nil && b.Text.Text != "" && len(b.Text.Text) <= maxSection) || len(b.Fields) > 0 && len(b.Fields) <= 10
	case "context":
		return len(b.Elements) > 0 && len(b.Elements) <= 10
	case "actions":
		for _, e := range b.Elements {
			if label := e.label(); e.Type == "button" && (label.Type != "plain_text" || label.Text == "" || len(label.Text) > 75 || len(e.Value) > 2000) {
				return false
			}
		}
		return len(b.Elements) > 0 && len(b.Elements) <= maxButtons
	case "divider":
		return true
	}
	return false // the sandbox has no others
}

// show writes what its readers see of a message.
func (m message) show(to *inbox.Message) {
	to.ID, to.Channel, to.From, to.Key, to.Edits = inboxID(m), inbox.Slack, botName, m.key(), m.Edits
	to.ReceivedAt, to.UpdatedAt = m.PostedAt, m.UpdatedAt
	to.Thread, to.Text, to.Links, to.Buttons, to.Mentions = "", "", nil, nil, nil
	if m.Thread != "" {
		to.Thread = inboxID(message{Channel: m.Channel, TS: m.Thread})
	}
	var lines []string
	see := func(t text) {
		if t.Type == "mrkdwn" {
			t.Text = readMarkup(t.Text, to)
		}
		lines = append(lines, t.Text)
	}
	for _, b := range m.Blocks {
		b.show(to, see)
	}
	if len(m.Blocks) == 0 {
		see(text{Type: "mrkdwn", Text: m.Text})
	} else {
		readMarkup(m.Text, &inbox.Message{}) // is seen in notices alone
	}
	to.Text = strings.Join(lines, "\n")
}

func (b block) show(to *inbox.Message, see func(text)) {
	if b.Text != nil {
		see(*b.Text)
	}
	for _, f := range b.Fields {
		see(f)
	}
	elements := b.Elements
	if b.Accessory != nil {
		elements = append(elements, *b.Accessory)
	}
	for _, e := range elements {
		var words string
		switch {
		case e.Type == "button" && e.URL != "":
			to.Links = append(to.Links, inbox.Link{Label: e.label().Text, URL: e.URL})
		case e.Type == "button":
			to.Buttons = append(to.Buttons, inbox.Button{ID: e.ActionID, Label: e.label().Text, Block: b.ID, Value: e.Value, Style: e.Style})
		case json.Unmarshal(e.Text, &words) == nil:
			see(text{Type: e.Type, Text: words})
		}
	}
}

// markup is what is special in mrkdwn: <https://…|label>, <!channel>, <@U…>, <#C…>.
var markup = regexp.MustCompile(`<([^<>|]+)(?:\|([^<>]*))?>`)

var unescape = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")

// readMarkup is a text of mrkdwn as it is read. Links, and mentions that notify people, go to the message.
func readMarkup(words string, to *inbox.Message) string {
	words = markup.ReplaceAllStringFunc(words, func(found string) string {
		parts := markup.FindStringSubmatch(found)
		what, label := parts[1], parts[2]
		switch what[0] {
		case '!', '@':
			to.Mentions = append(to.Mentions, strings.Replace(what, "!", "@", 1))
			return "@" + what[1:]
		case '#':
			return what
		}
		if label != "" {
			to.Links = append(to.Links, inbox.Link{Label: unescape.Replace(label), URL: unescape.Replace(what)})
			return label
		}
		return what
	})
	return unescape.Replace(words)
}
