package digitalocean

import (
	"errors"
	"fmt"
	"net/http"
)

// refusal is an error as the API words it.
type refusal struct {
	status  int
	id      string
	message string
	// retryAfter is in seconds, for throttling.
	retryAfter int
}

func (r *refusal) Error() string { return r.message }

type errorBody struct {
	ID        string `json:"id"`
	Message   string `json:"message"`
	RequestID string `json:"request_id"`
}

func notFound() error {
	return &refusal{status: http.StatusNotFound, id: "not_found", message: "The resource you requested could not be found."}
}

func unknownRoute() error {
	return &refusal{status: http.StatusNotFound, id: "not_found",
		message: "The resource you requested could not be found. (The sandbox does not have this route.)"}
}

func badRequest(format string, args ...any) error {
	return &refusal{status: http.StatusBadRequest, id: "bad_request", message: fmt.Sprintf(format, args...)}
}

func unauthorized() error {
	return &refusal{status: http.StatusUnauthorized, id: "unauthorized", message: "Unable to authenticate you."}
}

func forbidden(message string) error {
	return &refusal{status: http.StatusForbidden, id: "forbidden", message: message}
}

func conflict(message string) error {
	return &refusal{status: http.StatusConflict, id: "conflict", message: message}
}

func invalid(format string, args ...any) error {
	return &refusal{status: http.StatusUnprocessableEntity, id: "unprocessable_entity", message: fmt.Sprintf(format, args...)}
}

// unprocessable is the form of the Kubernetes service's complaints.
func unprocessable(format string, args ...any) error {
	return invalid("validation error: "+format, args...)
}

func tooManyRequests(retryAfter int) error {
	return &refusal{status: http.StatusTooManyRequests, id: "too_many_requests", message: "API rate limit exceeded.", retryAfter: retryAfter}
}

func serverError(status int) error {
	if status == http.StatusServiceUnavailable {
		return &refusal{status: status, id: "service_unavailable", message: "The service is temporarily unavailable."}
	}
	return &refusal{status: status, id: "server_error", message: "Unexpected server-side error"}
}

// asRefusal is what a caller gets to see of an error. The second result is true if it is our own failure.
func asRefusal(err error) (*refusal, bool) {
	var r *refusal
	if errors.As(err, &r) {
		return r, false
	}
	if isNotFound(err) {
		err = notFound()
	} else {
		err = serverError(http.StatusInternalServerError)
	}
	errors.As(err, &r)
	return r, r.status == http.StatusInternalServerError
}
