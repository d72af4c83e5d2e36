package slack

import (
	"strings"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackutilsx"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/channel"
)

// Slack's limits for the text of a section, with room to spare.
const maxSection = 2800

// blocks is a page in Block Kit: its headline, what fires, its labels, and buttons for what can be done now.
func blocks(p alert.Page) []slack.Block {
	all := []slack.Block{section("*" + escape(channel.Headline(p)) + "*")}
	if lines := channel.Lines(p); len(lines) > 0 {
		all = append(all, section(join(lines, "• ", "\n")))
	}
	if labels := channel.Labels(p); len(labels) > 0 {
		all = append(all, slack.NewContextBlock("", slack.NewTextBlockObject(slack.MarkdownType, join(labels, "", "  "), false, true)))
	}
	if row := buttons(p); len(row) > 0 {
		all = append(all, slack.NewActionBlock("m3o", row...))
	}
	return all
}

func section(text string) slack.Block {
	return slack.NewSectionBlock(slack.NewTextBlockObject(slack.MarkdownType, text, false, true), nil, nil)
}

// escape makes text of strangers mention nobody and link nowhere.
func escape(text string) string { return slackutilsx.EscapeMessage(text) }

// join escapes lines and joins as many as there is room for.
func join(lines []string, before, between string) string {
	var b strings.Builder
	for i, line := range lines {
		line = before + escape(line)
		if b.Len()+len(line)+len(between) > maxSection {
			b.WriteString(between + "…")
			break
		}
		if i > 0 {
			b.WriteString(between)
		}
		b.WriteString(line)
	}
	return b.String()
}

// buttons are what may be done about the alert now. Each has the update as its action, and the page's key as its value.
func buttons(p alert.Page) []slack.BlockElement {
	var updates []string
	switch {
	case p.Alert == 0 || p.Content.Status.Final():
	case p.Kind == alert.PageTrigger || p.Kind == alert.PageUpdate && p.Content.Status == alert.Open:
		updates = []string{alert.AcknowledgeUpdate, alert.ResolveUpdate, alert.EscalateUpdate, alert.SnoozeUpdate}
	case p.Kind == alert.PageAcknowledged || p.Kind == alert.PageUpdate:
		updates = []string{alert.ResolveUpdate, alert.EscalateUpdate}
	}
	var row []slack.BlockElement
	for _, do := range updates {
		button := slack.NewButtonBlockElement(do, p.Key, slack.NewTextBlockObject(slack.PlainTextType, do, false, false))
		if do == alert.AcknowledgeUpdate {
			button.Style = slack.StylePrimary
		}
		row = append(row, button)
	}
	return row
}
