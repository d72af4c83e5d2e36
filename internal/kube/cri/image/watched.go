package image

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// watched is a transport that gives up on a registry which stops sending.
type watched struct {
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (w *watched) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	stalled := fmt.Errorf("registry %s sent nothing for %s", r.URL.Host, stallTimeout)
	timer := time.AfterFunc(stallTimeout, func() { cancel(stalled) })
	response, err := w.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		timer.Stop()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(nil)
		return nil, err
	}
	response.Body = &watchedBody{body: response.Body, timer: timer, ctx: ctx, cancel: cancel}
	return response, nil
}

type watchedBody struct {
	body   io.ReadCloser
	timer  *time.Timer
	ctx    context.Context
	cancel context.CancelCauseFunc
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	b.timer.Reset(stallTimeout)
	if err != nil && err != io.EOF && context.Cause(b.ctx) != nil {
		err = context.Cause(b.ctx)
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.timer.Stop()
	defer b.cancel(nil)
	return b.body.Close()
}
