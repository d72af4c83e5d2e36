package rest

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// bodyWait is how long a body may take to come. It is at most 2 MB, but for sources.
const bodyWait = 30 * time.Second

// hurried gives the body of an HTTP/1 request so long to come, whether anybody reads it or not: what is left of one the
// server reads itself, before it answers and once the handler is done, and would wait for ever. HTTP/2 is not served here.
func hurried(wait time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 && r.ContentLength != 0 {
			body := &timedBody{ReadCloser: r.Body, control: http.NewResponseController(w), wait: wait}
			body.arm()
			defer body.arm()
			r = r.WithContext(r.Context()) // the server looks at its own request's body again
			r.Body = body
		}
		next.ServeHTTP(w, r)
	})
}

// timedBody is a body whose time ends when it is complete: from then on the deadline would only cut off the answer, since
// the server goes on reading to see whether the caller is still there.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
	wait    time.Duration
	pieces  bool // each piece has the time, not the whole
}

func (b *timedBody) Read(p []byte) (int, error) {
	if b.pieces {
		b.arm()
	}
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

func (b *timedBody) arm() {
	_ = b.control.SetReadDeadline(time.Now().Add(b.wait)) // a writer that cannot has no slow senders either
}

// inPieces gives each piece of a long body the time that others have for the whole.
func (a *API) inPieces(w http.ResponseWriter, r *http.Request) io.Reader {
	if r.ProtoMajor != 1 {
		return r.Body
	}
	return &timedBody{ReadCloser: r.Body, control: http.NewResponseController(w), wait: a.BodyWait, pieces: true}
}
