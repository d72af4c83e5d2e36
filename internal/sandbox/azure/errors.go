package azure

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/m3o/platform/internal/sandbox/world"
)

// refusal is an error as the Resource Manager and its providers word it.
type refusal struct {
	status  int
	code    string
	message string
	// retryAfter is when to come back, for throttling and for what another operation holds.
	retryAfter time.Duration
	// gateway says that the Resource Manager refused, not a provider behind it.
	gateway bool
	// challenge is the WWW-Authenticate header of a 401.
	challenge string
}

func (r *refusal) Error() string { return r.code + ": " + r.message }

// errorBody is the envelope of all errors but the authority's.
type errorBody struct {
	Error errorDetail `json:"error"`
}

type errorDetail struct {
	Code    string        `json:"code"`
	Message string        `json:"message"`
	Details []errorDetail `json:"details,omitempty"`
}

func refuse(status int, code, format string, args ...any) *refusal {
	return &refusal{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

// arm is what the Resource Manager refuses before a provider sees the request.
func arm(status int, code, format string, args ...any) *refusal {
	r := refuse(status, code, format, args...)
	r.gateway = true
	return r
}

func badRequest(code, format string, args ...any) *refusal {
	return refuse(http.StatusBadRequest, code, format, args...)
}

func conflict(code, format string, args ...any) *refusal {
	return refuse(http.StatusConflict, code, format, args...)
}

// busy is how Microsoft.Network refuses while another operation holds the resource.
func busy(id string, after time.Duration) *refusal {
	r := refuse(http.StatusTooManyRequests, "RetryableErrorDueToAnotherOperation",
		"Operation on %s failed because another operation on this or a dependent resource is in progress. Retry the request later.", id)
	r.retryAfter = after
	return r
}

func groupNotFound(name string) *refusal {
	return arm(http.StatusNotFound, "ResourceGroupNotFound", "Resource group '%s' could not be found.", name)
}

func resourceNotFound(typ, name, group string) *refusal {
	return arm(http.StatusNotFound, "ResourceNotFound",
		"The Resource '%s/%s' under resource group '%s' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix", typ, name, group)
}

func groupBeingDeleted(name string) *refusal {
	return arm(http.StatusConflict, "ResourceGroupBeingDeleted",
		"The resource group '%s' is in deprovisioning state and cannot perform this operation.", name)
}

func unauthorized(code, message string) *refusal {
	r := arm(http.StatusUnauthorized, code, "%s", message)
	r.challenge = `error="invalid_token", error_description="` + message + `"`
	return r
}

// asRefusal is what a caller gets to see of an error. The second result is true if it is our own failure.
func asRefusal(err error) (*refusal, bool) {
	var r *refusal
	if errors.As(err, &r) {
		return r, false
	}
	if errors.Is(err, world.ErrNotFound) {
		return refuse(http.StatusNotFound, "NotFound", "The resource was not found."), false
	}
	return refuse(http.StatusInternalServerError, "InternalServerError", "An error occurred."), true
}

// serverFault is what an injected server error says.
func serverFault(status int) *refusal {
	switch status {
	case http.StatusServiceUnavailable:
		return refuse(status, "ServerTimeout", "The request timed out. Please retry the request.")
	case http.StatusBadGateway:
		return refuse(status, "BadGateway", "The gateway did not receive a response from the resource provider.")
	case http.StatusGatewayTimeout:
		return arm(status, "GatewayTimeout", "The gateway did not receive a response from the resource provider within the specified time period.")
	}
	return refuse(status, "InternalServerError", "An error occurred.")
}

// seconds rounds a wait up to what the Retry-After header can say.
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int((d+time.Second-1)/time.Second)))
}

func isNotFound(err error) bool { return errors.Is(err, world.ErrNotFound) }
