package twilio

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// wireMessage is a message in the API's form.
type wireMessage struct {
	Account      string            `json:"account_sid"`
	APIVersion   string            `json:"api_version"`
	Body         string            `json:"body"`
	CreatedAt    string            `json:"date_created"`
	SentAt       *string           `json:"date_sent"`
	UpdatedAt    string            `json:"date_updated"`
	Direction    string            `json:"direction"`
	ErrorCode    *int              `json:"error_code"`
	ErrorMessage *string           `json:"error_message"`
	From         string            `json:"from"`
	Service      *string           `json:"messaging_service_sid"`
	Media        string            `json:"num_media"`
	Segments     string            `json:"num_segments"`
	Price        *string           `json:"price"`
	PriceUnit    string            `json:"price_unit"`
	SID          string            `json:"sid"`
	Status       string            `json:"status"`
	Subresources map[string]string `json:"subresource_uris"`
	To           string            `json:"to"`
	URI          string            `json:"uri"`
}

// wireList is one page of messages.
type wireList struct {
	End      int           `json:"end"`
	First    string        `json:"first_page_uri"`
	Messages []wireMessage `json:"messages"`
	Next     *string       `json:"next_page_uri"`
	Page     int           `json:"page"`
	Size     int           `json:"page_size"`
	Previous *string       `json:"previous_page_uri"`
	Start    int           `json:"start"`
	URI      string        `json:"uri"`
}

func (c *Cloud) wire(m message) wireMessage {
	at := "/" + apiVersion + "/Accounts/" + c.Credentials.AccountSID + "/Messages/" + m.SID
	w := wireMessage{Account: c.Credentials.AccountSID, APIVersion: apiVersion, Body: m.Body, CreatedAt: rfc2822(m.CreatedAt), UpdatedAt: rfc2822(m.UpdatedAt),
		Direction: m.Direction, From: m.From, Media: "0", Segments: segments(m.Body), PriceUnit: "USD", SID: m.SID, Status: m.Status,
		Subresources: map[string]string{"media": at + "/Media.json"}, To: m.To, URI: at + ".json"}
	if !m.SentAt.IsZero() {
		text := rfc2822(m.SentAt)
		w.SentAt = &text
	}
	if m.ErrorCode != 0 {
		words := "Unreachable destination handset"
		w.ErrorCode, w.ErrorMessage = &m.ErrorCode, &words
	}
	return w
}

func rfc2822(t time.Time) string { return t.UTC().Format(time.RFC1123Z) }

// basic are the letters of GSM 03.38 beyond ASCII that are common; what has others is sent as UCS-2.
const basic = "£¥èéùìòÇØøÅåΔΦΓΛΩΠΨΣΘΞÆæßÉ¤¡ÄÖÑÜ§¿äöñüà€"

// segments is how many messages of the carrier's a text takes.
func segments(text string) string {
	single, part, length := 160, 153, 0
	for _, r := range text {
		length++
		if r >= 0x80 && !strings.ContainsRune(basic, r) || r == '`' {
			single, part = 70, 67
		}
	}
	if single == 70 {
		length = len(utf16.Encode([]rune(text)))
	}
	if length <= single {
		return "1"
	}
	return strconv.Itoa((length + part - 1) / part)
}
