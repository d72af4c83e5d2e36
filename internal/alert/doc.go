// Package alert defines what tells people that something is wrong, and how: signals of sources, alerts that group them, the rules that
// route them, silences, the people to page and their contacts, and what is sent to them.
//
// It holds types, Validate and pure rules: rows are internal/store's, intake internal/intake's, delivery to workflows internal/relay's,
// sending the adapters' below internal/channel, order and time the workflow's (EscalateAlert). Who is on call when is internal/oncall's.
// It imports nothing of the project but fault, answer, event and oncall.
//
// Words: a Signal is one message of a source: trigger, acknowledge or resolve of a dedup key. A key that was triggered and not resolved is
// firing. An Alert is one episode of a group: from the first firing key until none fires; it has a public number. A Page is one
// notification to one contact; its Key is the same however often it is tried. A Receipt is what a channel said of it.
package alert
