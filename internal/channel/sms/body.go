package sms

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/channel"
)

// MaxBody bounds an SMS in septets of the GSM 7-bit alphabet: two parts, which carriers deliver as one message.
const MaxBody = 306

// Body is a page as an SMS: what is wrong, how much, how to reply, and the mark by which it is found again.
func Body(p alert.Page, mark string) string {
	var b strings.Builder
	b.WriteString(channel.Headline(p))
	if p.Kind == alert.PageTrigger && p.Content.Firing > 1 {
		fmt.Fprintf(&b, " (%d firing)", p.Content.Firing)
	}
	if p.Kind == alert.PageNotice {
		for _, line := range channel.Lines(p) {
			b.WriteString("\n" + line)
		}
	}
	tail := ""
	if p.Kind == alert.PageTrigger && p.Code > 0 {
		tail = fmt.Sprintf(". Reply %da to acknowledge, %dr to resolve", p.Code, p.Code)
	}
	return fit(plain(b.String()), tail+" ["+mark+"]")
}

// fit cuts text so that it has room with its tail.
func fit(text, tail string) string {
	room := MaxBody - septets(tail)
	if septets(text) <= room {
		return text + tail
	}
	for septets(text) > room-3 {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return strings.TrimRight(text, " ") + "..." + tail
}

// The GSM 7-bit alphabet (3GPP TS 23.038): what takes one septet, and what takes two.
const (
	single = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	double = "^{}\\[~]|€"
)

// similar is what stands for characters that are not in the alphabet: one of them would halve what a message carries.
var similar = strings.NewReplacer("“", `"`, "”", `"`, "„", `"`, "«", `"`, "»", `"`, "‘", "'", "’", "'", "`", "'", "–", "-", "—", "-", "−", "-", "…", "...", "\t", " ",
	" ", " ", "•", "-", "→", "->", "←", "<-", "≥", ">=", "≤", "<=", "×", "x", "á", "a", "â", "a", "ã", "a", "ç", "c", "ê", "e", "ë", "e", "í", "i", "î", "i", "ï", "i",
	"ó", "o", "ô", "o", "õ", "o", "ú", "u", "û", "u", "ÿ", "y", "À", "A", "Á", "A", "Â", "A", "È", "E", "Ê", "E", "Ó", "O", "Ú", "U")

// plain is text in the GSM 7-bit alphabet.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(single, r) || strings.ContainsRune(double, r) {
			return r
		}
		return '?'
	}, similar.Replace(text))
}

func septets(text string) int {
	n := 0
	for _, r := range text {
		n++
		if strings.ContainsRune(double, r) {
			n++
		}
	}
	return n
}
