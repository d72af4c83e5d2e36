// Package channel sends what people are to know: by email, SMS, Slack and webhooks, one adapter each in the packages below.
//
// An adapter renders a page for its channel, escapes what a stranger's text could do there, sends it once under the page's key, and says
// in fault's kinds what came of it. It reads what its provider calls back with. It keeps no state and knows no rules: who is paged, when,
// and by which channel next is decided by workflows, and what was sent is the store's. Only the process that serves the queue `pages`
// holds credentials. internal/channel/channeltest is the one suite that every adapter passes.
package channel
