package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/fault"
)

// Now as a position in the events means: from what happens next on.
const Now = -1

// maxEvent bounds one line of the event stream.
const maxEvent = 1 << 20

// Events calls do with every event after the given one, as they happen, until ctx ends or do fails. A connection that
// breaks is made again and goes on after the last event that was seen.
func (c *Client) Events(ctx context.Context, after int64, do func(event.Event) error) error {
	return c.resume(ctx, func() (bool, error) {
		from := after
		err := c.events(ctx, &after, do)
		if err == nil {
			err = &brokenError{io.ErrUnexpectedEOF} // the stream has no end
		}
		return after != from, err
	})
}

func (c *Client) events(ctx context.Context, after *int64, do func(event.Event) error) error {
	r := request{method: http.MethodGet, path: "/v1/events", query: c.inProject(), header: http.Header{"Accept": {"text/event-stream"}}, stream: true}
	switch {
	case *after > 0:
		r.header.Set("Last-Event-ID", strconv.FormatInt(*after, 10))
	case *after == 0:
		r.query.Set("after", "0")
	}
	return c.do(ctx, r, func(resp *http.Response) error {
		return readEvents(resp.Body, func(e event.Event) error {
			if err := do(e); err != nil {
				return err
			}
			*after = e.Seq
			return nil
		})
	})
}

// readEvents reads a server-sent stream: fields of one line each, a blank line behind every event.
func readEvents(r io.Reader, do func(event.Event) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxEvent)
	var data []byte
	for lines.Scan() {
		line := lines.Bytes()
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch {
		case string(field) == "data" && len(data)+len(value) < maxEvent:
			data = append(append(data, value...), '\n')
		case len(line) == 0 && len(data) > 0:
			var e event.Event
			if err := json.Unmarshal(data, &e); err != nil {
				return fault.Wrap(fault.Invalid, err, "the event stream holds what is no event")
			}
			data = data[:0]
			if err := do(e); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return &brokenError{fmt.Errorf("read events: %w", err)}
	}
	return nil
}
