package gateway

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

// problem is what the gateway says when it answers itself (RFC 9457). Services lists what there is to call instead.
type problem struct {
	Type       string        `json:"type"`
	Title      string        `json:"title"`
	Status     int           `json:"status"`
	Detail     string        `json:"detail"`
	RequestID  string        `json:"request_id,omitempty"`
	Services   *[]string     `json:"services,omitempty"`
	RetryAfter time.Duration `json:"-"`
}

func newProblem(status int, detail string) problem {
	return problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
}

// write answers with the problem: as JSON, or, to a gRPC client, as a status that its library shows.
func (p problem) write(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(max(1, int(p.RetryAfter.Seconds()))))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="m3o"`)
	}
	if isGRPC(r) {
		h.Set("Content-Type", "application/grpc")
		h.Set("Grpc-Status", strconv.Itoa(int(grpcCode(p.Status))))
		h.Set("Grpc-Message", grpcMessage(p.Detail))
		w.WriteHeader(http.StatusOK)
		return
	}
	body, err := json.Marshal(p)
	if err != nil {
		panic("gateway: a problem cannot be marshalled: " + err.Error())
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(append(body, '\n')) // a client that has gone needs no answer
	}
}

func isGRPC(r *http.Request) bool {
	kind, ok := strings.CutPrefix(r.Header.Get("Content-Type"), "application/grpc")
	return ok && r.ProtoMajor >= 2 && (kind == "" || kind[0] == '+' || kind[0] == ';')
}

// grpcCode maps as gRPC's own table for HTTP statuses does, with the finer words where there are some.
func grpcCode(status int) codes.Code {
	switch status {
	case http.StatusBadRequest:
		return codes.InvalidArgument
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusForbidden:
		return codes.PermissionDenied
	case http.StatusNotFound:
		return codes.Unimplemented
	case http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
		return codes.ResourceExhausted
	case http.StatusGatewayTimeout:
		return codes.DeadlineExceeded
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return codes.Unavailable
	}
	return codes.Unknown
}

// grpcMessage percent-encodes as gRPC demands of a status message.
func grpcMessage(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}
