package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
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
			r = r.WithContext(context.WithValue(r.Context(), bodyKey{}, body)) // the server looks at its own request's body again
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
	late    atomic.Bool
}

type bodyKey struct{}

// bodyOf is the body of an HTTP/1 request, nil where there is none.
func bodyOf(ctx context.Context) *timedBody {
	body, _ := ctx.Value(bodyKey{}).(*timedBody)
	return body
}

// lateness is the problem of a request whose body was waited for in vain, nil of any other. Whatever else a handler finds wrong
// with half a body follows from that.
func lateness(ctx context.Context) *huma.ErrorModel {
	body := bodyOf(ctx)
	if body == nil || !body.late.Load() {
		return nil
	}
	return &huma.ErrorModel{Status: http.StatusRequestTimeout, Title: http.StatusText(http.StatusRequestTimeout), Type: "urn:m3o:problem:timeout",
		Detail: fmt.Sprintf("the body did not come in time: more of it was awaited for %s", body.wait)}
}

func (b *timedBody) Read(p []byte) (int, error) {
	if b.pieces {
		b.arm()
	}
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		b.late.Store(true)
	}
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

func (b *timedBody) arm() {
	_ = b.control.SetReadDeadline(time.Now().Add(b.wait)) // a writer that cannot has no slow senders either
}

// punctual answers 408 in place of a handler that did not get the whole body in time, whatever it made of what came.
func punctual(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if bodyOf(r.Context()) != nil {
			w = &punctualWriter{ResponseWriter: w, request: r}
		}
		next(w, r)
	}
}

// punctualWriter is undecided until the answer begins.
type punctualWriter struct {
	http.ResponseWriter
	request *http.Request
	state   answerState
}

// answerState says whose answer goes out. It leaves undecided once, with the first byte or status.
type answerState int

const (
	undecided   answerState = iota
	handlers                // the handler's own
	timeoutSent             // ours: what the handler writes is dropped
)

func (w *punctualWriter) WriteHeader(status int) {
	if w.state == timeoutSent {
		return
	}
	late := lateness(w.request.Context())
	if w.state == handlers || late == nil {
		w.state = handlers
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.state = timeoutSent
	for _, name := range []string{"Set-Cookie", "Location", "Content-Length", "Content-Security-Policy"} {
		w.Header().Del(name)
	}
	writeProblem(w.ResponseWriter, w.request, late)
}

func (w *punctualWriter) Write(p []byte) (int, error) {
	if w.state == undecided {
		w.WriteHeader(http.StatusOK)
	}
	if w.state == timeoutSent {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *punctualWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// inPieces gives each piece of a long body the time that others have for the whole.
func (a *API) inPieces(w http.ResponseWriter, r *http.Request) io.Reader {
	if r.ProtoMajor != 1 {
		return r.Body
	}
	return &timedBody{ReadCloser: r.Body, control: http.NewResponseController(w), wait: a.BodyWait, pieces: true}
}
