package gcp

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/m3o/platform/internal/sandbox/world"
)

// refusal is an error as Google's APIs word it: the HTTP status, the canonical code of google.rpc, and the reason that the older
// APIs (compute) put into errors[].
type refusal struct {
	status  int
	code    string // "NOT_FOUND"
	reason  string // "notFound"
	message string
	// info is the reason of a google.rpc.ErrorInfo, of the domain of the service.
	info     string
	metadata map[string]string
	// violation is the field of a google.rpc.BadRequest.
	violation string
}

func (r *refusal) Error() string { return r.message }

type errorBody struct {
	Error errorStatus `json:"error"`
}

type errorStatus struct {
	Code    int              `json:"code"`
	Message string           `json:"message"`
	Errors  []errorItem      `json:"errors,omitempty"`
	Status  string           `json:"status,omitempty"`
	Details []map[string]any `json:"details,omitempty"`
}

type errorItem struct {
	Message string `json:"message"`
	Domain  string `json:"domain"`
	Reason  string `json:"reason"`
}

// body is the answer of the service.
func (r *refusal) body(service, requestID string) errorBody {
	status := errorStatus{Code: r.status, Message: r.message, Status: r.code,
		Errors: []errorItem{{Message: r.message, Domain: "global", Reason: r.reason}}}
	if r.status == http.StatusForbidden && r.reason == "rateLimitExceeded" {
		status.Errors[0].Domain = "usageLimits"
	}
	if r.info != "" {
		info := map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": r.info, "domain": domainOf(service, r.info)}
		if len(r.metadata) > 0 {
			info["metadata"] = r.metadata
		}
		status.Details = append(status.Details, info)
	}
	if r.violation != "" {
		status.Details = append(status.Details, map[string]any{"@type": "type.googleapis.com/google.rpc.BadRequest",
			"fieldViolations": []map[string]string{{"field": r.violation, "description": r.message}}})
	}
	if service == serviceContainer {
		status.Details = append(status.Details, map[string]any{"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": requestID})
	}
	return errorBody{Error: status}
}

// domainOf is who words an ErrorInfo: the service itself, or what stands before all services.
func domainOf(service, reason string) string {
	switch reason {
	case "ACCESS_TOKEN_EXPIRED", "CREDENTIALS_MISSING", "ACCOUNT_STATE_INVALID", "RATE_LIMIT_EXCEEDED", "SERVICE_DISABLED":
		return "googleapis.com"
	case "IAM_PERMISSION_DENIED":
		return "iam.googleapis.com"
	}
	return service + ".googleapis.com"
}

func invalid(format string, args ...any) error {
	return &refusal{status: http.StatusBadRequest, code: "INVALID_ARGUMENT", reason: "badRequest", message: fmt.Sprintf(format, args...)}
}

// invalidField is compute's complaint about one field's value.
func invalidField(field string, value any, format string, args ...any) error {
	return &refusal{status: http.StatusBadRequest, code: "INVALID_ARGUMENT", reason: "invalid",
		message: fmt.Sprintf("Invalid value for field '%s': '%v'. %s", field, value, fmt.Sprintf(format, args...))}
}

func notFound(format string, args ...any) error {
	return &refusal{status: http.StatusNotFound, code: "NOT_FOUND", reason: "notFound", message: fmt.Sprintf(format, args...)}
}

// noResource is compute's answer about what it does not have.
func noResource(path string) error {
	return notFound("The resource '%s' was not found", path)
}

func exists(format string, args ...any) error {
	return &refusal{status: http.StatusConflict, code: "ALREADY_EXISTS", reason: "alreadyExists", message: fmt.Sprintf(format, args...)}
}

func notReady(path string) error {
	return &refusal{status: http.StatusBadRequest, code: "FAILED_PRECONDITION", reason: "resourceNotReady",
		message: fmt.Sprintf("The resource '%s' is not ready", path)}
}

func inUse(what, path, by string) error {
	return &refusal{status: http.StatusBadRequest, code: "FAILED_PRECONDITION", reason: "resourceInUseByAnotherResource",
		message: fmt.Sprintf("The %s resource '%s' is already being used by '%s'", what, path, by)}
}

// incompatible is container's answer while another operation of the cluster runs.
func incompatible(operation string) error {
	return &refusal{status: http.StatusBadRequest, code: "FAILED_PRECONDITION", reason: "failedPrecondition", info: "CLUSTER_ALREADY_HAS_OPERATION",
		message: fmt.Sprintf("Cluster is running incompatible operation %s.", operation)}
}

func precondition(format string, args ...any) error {
	return &refusal{status: http.StatusBadRequest, code: "FAILED_PRECONDITION", reason: "failedPrecondition", message: fmt.Sprintf(format, args...)}
}

func aborted(format string, args ...any) error {
	return &refusal{status: http.StatusConflict, code: "ABORTED", reason: "aborted", message: fmt.Sprintf(format, args...)}
}

func denied(format string, args ...any) error {
	return &refusal{status: http.StatusForbidden, code: "PERMISSION_DENIED", reason: "forbidden", message: fmt.Sprintf(format, args...)}
}

func unauthenticated(info string) error {
	message := "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. " +
		"See https://developers.google.com/identity/sign-in/web/devconsole-project."
	if info == "CREDENTIALS_MISSING" {
		message = "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or other valid authentication credential. " +
			"See https://developers.google.com/identity/sign-in/web/devconsole-project."
	}
	return &refusal{status: http.StatusUnauthorized, code: "UNAUTHENTICATED", reason: "authError", info: info, message: message}
}

// tooMany is what a service answers when its budget is used up: compute 403, the others 429.
func tooMany(service, group, where string) error {
	message := fmt.Sprintf("Quota exceeded for quota metric '%s' and limit '%s per minute' of service '%s.googleapis.com' for consumer 'project_number:%s'.",
		group, group, service, projectNumber)
	metadata := map[string]string{"service": service + ".googleapis.com", "quota_metric": service + ".googleapis.com/" + group,
		"consumer": "projects/" + projectNumber, "quota_location": where}
	if service == serviceCompute {
		return &refusal{status: http.StatusForbidden, code: "PERMISSION_DENIED", reason: "rateLimitExceeded", info: "RATE_LIMIT_EXCEEDED", metadata: metadata, message: message}
	}
	return &refusal{status: http.StatusTooManyRequests, code: "RESOURCE_EXHAUSTED", reason: "rateLimitExceeded", info: "RATE_LIMIT_EXCEEDED", metadata: metadata, message: message}
}

// overQuota is what a service answers when the project may have no more of something.
func overQuota(service, metric string, limit int, where string) error {
	if service == serviceContainer {
		return &refusal{status: http.StatusForbidden, code: "PERMISSION_DENIED", reason: "forbidden", info: "GCE_QUOTA_EXCEEDED", message: fmt.Sprintf(
			"Insufficient regional quota to satisfy request: resource %q: request requires more than the project's limit of '%d'. View and manage quotas at https://console.cloud.google.com/iam-admin/quotas?usage=USED&project=%s.",
			metric, limit, ProjectID)}
	}
	return &refusal{status: http.StatusForbidden, code: "PERMISSION_DENIED", reason: "quotaExceeded",
		message: fmt.Sprintf("Quota '%s' exceeded.  Limit: %d.0 %s.", metric, limit, where)}
}

func serverError(status int) error {
	switch status {
	case http.StatusServiceUnavailable:
		return &refusal{status: status, code: "UNAVAILABLE", reason: "backendError", message: "The service is currently unavailable."}
	case http.StatusGatewayTimeout:
		return &refusal{status: status, code: "DEADLINE_EXCEEDED", reason: "backendError", message: "Deadline expired before operation could complete."}
	}
	return &refusal{status: http.StatusInternalServerError, code: "INTERNAL", reason: "backendError", message: "Internal error encountered."}
}

// unknownMethod is the front end's answer to a path that no service has.
func unknownMethod(path string) error {
	return notFound("The requested URL %s was not found on this server. (The sandbox does not have this method.)", path)
}

// asRefusal is what a caller gets to see of an error. The second result is true if it is our own failure.
func asRefusal(err error) (*refusal, bool) {
	var r *refusal
	if errors.As(err, &r) {
		return r, false
	}
	errors.As(serverError(http.StatusInternalServerError), &r)
	return r, true
}

// isNotFound says that a resource is not there.
func isNotFound(err error) bool { return errors.Is(err, world.ErrNotFound) }
