package smtp

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"regexp"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/sandbox/inbox"
)

// keyHeader is where a mail carries its sender's key.
const keyHeader = "X-M3o-Key"

// content is what a mail shows.
type content struct {
	from, text, thread string
	links              []inbox.Link
}

// parse reads a mail.
func parse(raw []byte) (mailed, content, error) {
	read, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return mailed{}, content{}, err
	}
	words := new(mime.WordDecoder)
	decoded := func(name string) string {
		text, err := words.DecodeHeader(read.Header.Get(name))
		if err != nil {
			return read.Header.Get(name)
		}
		return text
	}
	id := strings.Trim(read.Header.Get("Message-Id"), "<> ")
	m := mailed{Subject: decoded("Subject"), MessageID: id, Key: read.Header.Get(keyHeader), Raw: string(raw)}
	if m.Key == "" {
		m.Key = id
	}
	shown := content{from: decoded("From"), thread: strings.Trim(read.Header.Get("In-Reply-To"), "<> ")}
	texts, pages, err := parts(textproto.MIMEHeader(read.Header), read.Body)
	shown.text = strings.TrimSpace(strings.Join(texts, "\n"))
	for _, page := range pages {
		shown.addLinks(page)
	}
	if shown.text == "" && len(pages) > 0 {
		shown.text = strings.TrimSpace(tag.ReplaceAllString(strings.Join(pages, "\n"), ""))
	}
	return m, shown, err
}

// parts are a mail's plain texts and its HTML pages.
func parts(header textproto.MIMEHeader, body io.Reader) (texts, pages []string, err error) {
	kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		kind = "text/plain"
	}
	if strings.HasPrefix(kind, "multipart/") {
		reader := multipart.NewReader(body, params["boundary"])
		for {
			part, err := reader.NextRawPart()
			if err == io.EOF {
				return texts, pages, nil
			}
			if err != nil {
				return texts, pages, err
			}
			t, p, err := parts(part.Header, part)
			if err != nil {
				return texts, pages, err
			}
			texts, pages = append(texts, t...), append(pages, p...)
		}
	}
	switch strings.ToLower(header.Get("Content-Transfer-Encoding")) {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	data, err := io.ReadAll(body)
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	switch kind {
	case "text/plain":
		texts = []string{text}
	case "text/html":
		pages = []string{text}
	}
	return texts, pages, err
}

var (
	anchor = regexp.MustCompile(`(?is)<a\s[^>]*href="([^"]+)"[^>]*>(.*?)</a>`)
	tag    = regexp.MustCompile(`(?s)<[^>]*>`)
	entity = strings.NewReplacer("&amp;", "&", "&#34;", `"`, "&#39;", "'", "&lt;", "<", "&gt;", ">")
)

// addLinks adds what a page links to, and the text does not have.
func (c *content) addLinks(page string) {
	for _, found := range anchor.FindAllStringSubmatch(page, -1) {
		to := entity.Replace(found[1])
		known := slices.ContainsFunc(c.links, func(l inbox.Link) bool { return l.URL == to })
		if !known && !strings.Contains(c.text, to) && (strings.HasPrefix(to, "http://") || strings.HasPrefix(to, "https://")) {
			c.links = append(c.links, inbox.Link{Label: strings.TrimSpace(entity.Replace(tag.ReplaceAllString(found[2], ""))), URL: to})
		}
	}
}
