package sms

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/twilio/twilio-go/client"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

// call carries one call of Twilio's client, which knows no contexts and only Twilio's own host.
type call struct {
	ctx        context.Context
	base       *url.URL
	next       http.RoundTripper
	status     int
	retryAfter time.Duration
}

// RoundTrip implements http.RoundTripper. The answer is read whole: Twilio's client leaves those of errors open.
func (c *call) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(c.ctx)
	r.URL.Scheme, r.URL.Host, r.Host = c.base.Scheme, c.base.Host, c.base.Host
	answer, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	c.status = answer.StatusCode
	if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds >= 0 {
		c.retryAfter = time.Duration(seconds) * time.Second
	}
	return answer, nil
}

// Twilio's codes that mean more than their class.
const (
	codeAuthenticate  = 20003
	codeThrottled     = 20429
	codeNoNumber      = 21211 // To is no phone number
	codeNoRoute       = 21612 // not reachable from this sender
	codeNoMobile      = 21614
	codeUnsubscribed  = 21610 // the person has replied STOP
	codeNoPermission  = 21408 // the account may not send to that country
	codeTrial         = 21608 // a trial account sends to verified numbers alone
	codeFromNotOurs   = 21606
	codeFromNoNumber  = 21212
	codeQueueOverflow = 30001
	codeFiltered      = 30007
)

// classify says in fault's kinds what Twilio answered.
func (c *call) classify(err error, to string) error {
	whole, to := to, alert.Contact{Channel: alert.SMS, Address: to}.Masked() // who reads a project's alerts reads this
	var told *client.TwilioRestError
	if !errors.As(err, &told) {
		if c.status >= 400 && c.status < 500 && c.status != http.StatusTooManyRequests {
			return fault.Wrap(fault.Failed, err, "Twilio refused the SMS with status %d", c.status)
		}
		if c.status == http.StatusTooManyRequests {
			return &fault.Error{Kind: fault.Throttled, Message: "Twilio takes no more requests for the moment", RetryAfter: max(c.retryAfter, time.Second)}
		}
		return fault.Wrap(fault.Unavailable, err, "Twilio does not answer")
	}
	switch told.Code {
	case codeAuthenticate:
		return fault.Wrap(fault.Denied, err, "Twilio does not take the account's SID and token (20003): check M3O_TWILIO_ACCOUNT and M3O_TWILIO_TOKEN_FILE")
	case codeNoNumber, codeNoMobile:
		return fault.Wrap(fault.NotFound, err, "%s takes no SMS (Twilio %d): correct the contact", to, told.Code)
	case codeUnsubscribed:
		return fault.Wrap(fault.NotFound, err, "%s has replied STOP (Twilio 21610): its person must send START, then verify the contact again", to)
	case codeNoPermission, codeTrial:
		return fault.Wrap(fault.Denied, err, "the account at Twilio may not send to %s (%d): permit it in Twilio's console", to, told.Code)
	case codeFromNotOurs, codeFromNoNumber:
		return fault.Wrap(fault.Denied, err, "the account at Twilio may not send from that number (%d): check M3O_TWILIO_FROM", told.Code)
	case codeNoRoute:
		return fault.Wrap(fault.Failed, err, "Twilio cannot reach %s from our number (21612)", to)
	case codeThrottled:
		return &fault.Error{Kind: fault.Throttled, Message: "Twilio takes no more requests for the moment (20429)", RetryAfter: max(c.retryAfter, time.Second)}
	}
	switch status := max(c.status, told.Status); {
	case status == http.StatusTooManyRequests:
		return &fault.Error{Kind: fault.Throttled, Message: "Twilio takes no more requests for the moment", RetryAfter: max(c.retryAfter, time.Second)}
	case status >= 500:
		return fault.Wrap(fault.Unavailable, err, "Twilio is in trouble (status %d)", status)
	}
	return fault.Wrap(fault.Failed, err, "Twilio refused the SMS: %.200s (%d)", strings.ReplaceAll(told.Message, whole, to), told.Code)
}
