package slack

import (
	"strings"
	"testing"

	"github.com/m3o/platform/internal/sandbox/inbox"
)

// FuzzBlocks: whatever a caller sends is refused in Slack's words, or shown.
func FuzzBlocks(f *testing.F) {
	f.Add(`[{"type":"section","text":{"type":"mrkdwn","text":"*disk full* <https://a|b> <!here> &lt;"}}]`, "x")
	f.Add(`[{"type":"actions","elements":[{"type":"button","action_id":"a","text":{"type":"plain_text","text":"A"}}]},{"type":"context","elements":[{"type":"mrkdwn","text":"c"}]}]`, "<@U1>")
	f.Add(`[{"type":"header"},{"type":"section","fields":[{}],"accessory":{"type":"button"}}]`, "<>")
	f.Add(`{"type":1}`, "<|>")
	f.Fuzz(func(t *testing.T, data, words string) {
		blocks, err := readBlocks(data)
		if err != nil {
			if strings.ContainsAny(err.Error(), " :") {
				t.Errorf("%q is refused with %q, which is no word of Slack's", data, err)
			}
			return
		}
		var shown inbox.Message
		message{Channel: "C1", TS: "1.000001", Text: words, Blocks: blocks}.show(&shown)
	})
}
