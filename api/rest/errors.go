package rest

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/store"
)

// statuses are the kinds of fault in HTTP's words.
var statuses = map[fault.Kind]int{
	fault.Invalid: http.StatusUnprocessableEntity, fault.Unauthenticated: http.StatusUnauthorized, fault.Denied: http.StatusForbidden,
	fault.NotFound: http.StatusNotFound, fault.Exists: http.StatusConflict, fault.Conflict: http.StatusConflict, fault.Quota: http.StatusConflict,
	fault.Failed: http.StatusConflict, fault.Throttled: http.StatusTooManyRequests, fault.Unavailable: http.StatusServiceUnavailable,
	fault.Unknown: http.StatusInternalServerError, fault.Full: http.StatusInsufficientStorage,
}

// problem turns an error into a problem document. Users see the fault's message; operators find the chain in the log, by the
// request's id that both carry.
func problem(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if late := lateness(ctx); late != nil {
		return late
	}
	var already huma.StatusError
	if errors.As(err, &already) {
		return already
	}
	kind := fault.Of(err)
	status, known := statuses[kind]
	if !known {
		status = http.StatusInternalServerError
	}
	detail := fault.Message(err)
	if errors.Is(err, store.ErrKeyReused) {
		status = http.StatusUnprocessableEntity
	}
	instance := ""
	if status >= http.StatusInternalServerError {
		instance = "urn:m3o:request:" + requestOf(ctx)
		slog.ErrorContext(ctx, "request failed", "error", err, "request_id", requestOf(ctx))
	}
	if kind == fault.Unknown {
		detail = "something went wrong on our side; the log says what"
	}
	document := &huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: detail, Type: "urn:m3o:problem:" + string(kind), Instance: instance}
	var f *fault.Error
	if errors.As(err, &f) {
		for _, p := range f.Problems {
			document.Errors = append(document.Errors, &huma.ErrorDetail{Location: p.Field, Message: p.Message})
		}
		if f.RetryAfter > 0 {
			return huma.ErrorWithHeaders(document, http.Header{"Retry-After": {strconv.Itoa(int(f.RetryAfter.Seconds()) + 1)}})
		}
	}
	return document
}

// statusOf is the status of what problem made.
func statusOf(err error) int {
	var known huma.StatusError
	if errors.As(err, &known) {
		return known.GetStatus()
	}
	return http.StatusInternalServerError
}

// late is otherwise, unless what went wrong is that a body did not come in time.
func late(err, otherwise error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return otherwise
	}
	return &huma.ErrorModel{Status: http.StatusRequestTimeout, Title: http.StatusText(http.StatusRequestTimeout), Detail: "the body did not come in time",
		Type: "urn:m3o:problem:late"}
}

// writeProblem answers a plain handler's request with a problem document.
func writeProblem(w http.ResponseWriter, r *http.Request, err error) {
	answer := problem(r.Context(), err)
	var document *huma.ErrorModel
	if !errors.As(answer, &document) {
		document = &huma.ErrorModel{Status: http.StatusInternalServerError, Title: http.StatusText(http.StatusInternalServerError)}
	}
	var more huma.HeadersError
	if errors.As(answer, &more) {
		maps.Copy(w.Header(), more.GetHeaders())
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(document.Status)
	_ = json.NewEncoder(w).Encode(document) // a caller who went away
}

// discreet takes out of the problems that huma finds with a body what was in it: a value may be a secret, and beside an
// unknown field it is the whole body.
func discreet(_ huma.Context, _ string, answer any) (any, error) {
	document, ok := answer.(*huma.ErrorModel)
	if !ok {
		return answer, nil
	}
	for _, e := range document.Errors {
		if e.Location == "body" || strings.HasPrefix(e.Location, "body.") || strings.HasPrefix(e.Location, "body[") {
			e.Value = nil
		}
	}
	return answer, nil
}
