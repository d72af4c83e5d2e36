package aws

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/m3o/platform/internal/sandbox/world"
)

// refusal is an error as a service words it.
type refusal struct {
	status  int
	code    string
	message string
	// more are further members of an error body that is JSON.
	more map[string]any
}

func (r *refusal) Error() string { return r.code + ": " + r.message }

// refuse is a refusal with status 400, which most of them have.
func refuse(code, format string, args ...any) error {
	return refuseAs(http.StatusBadRequest, code, format, args...)
}

func refuseAs(status int, code, format string, args ...any) error {
	return &refusal{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

// with adds a member to the body of a refusal.
func with(err error, member string, value any) error {
	var r *refusal
	if errors.As(err, &r) {
		if r.more == nil {
			r.more = map[string]any{}
		}
		r.more[member] = value
	}
	return err
}

// isNotFound says that a resource is not there.
func isNotFound(err error) bool { return errors.Is(err, world.ErrNotFound) }

// words are what a service says where all services say something of the kind.
type words struct {
	throttled, denied, failed, unavailable refusal
	// unsigned is a request without a signature, unknown one with a key that nobody has, mismatched one whose signature is wrong,
	// expired one that is too old.
	unsigned, unknown, mismatched, expired refusal
	// invalid is a parameter that is not what it should be, unsupported one that the sandbox does not know.
	invalid, unsupported string
}

const (
	invalidToken     = "The security token included in the request is invalid."
	wrongSignature   = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	missingToken     = "Request is missing Authentication Token"
	notValidated     = "AWS was not able to validate the provided access credentials"
	signatureExpired = "Signature expired: the request's date is not within fifteen minutes of now"
)

var ec2Words = words{
	throttled:   refusal{status: 503, code: "RequestLimitExceeded", message: "Request limit exceeded."},
	denied:      refusal{status: 403, code: "UnauthorizedOperation", message: "You are not authorized to perform this operation."},
	failed:      refusal{status: 500, code: "InternalError", message: "An internal error has occurred"},
	unavailable: refusal{status: 503, code: "Unavailable", message: "The service is unavailable. Please try again shortly."},
	unsigned:    refusal{status: 400, code: "MissingAuthenticationToken", message: missingToken},
	unknown:     refusal{status: 401, code: "AuthFailure", message: notValidated},
	mismatched:  refusal{status: 401, code: "AuthFailure", message: notValidated},
	expired:     refusal{status: 400, code: "RequestExpired", message: "Request has expired."},
	invalid:     "InvalidParameterValue", unsupported: "UnknownParameter",
}

// queryWords are those of the services whose requests are forms, but for EC2.
var queryWords = words{
	throttled:   refusal{status: 400, code: "Throttling", message: "Rate exceeded"},
	denied:      refusal{status: 403, code: "AccessDenied", message: "User is not authorized to perform this operation"},
	failed:      refusal{status: 500, code: "InternalFailure", message: "The request processing has failed because of an unknown error, exception or failure."},
	unavailable: refusal{status: 503, code: "ServiceUnavailable", message: "The request has failed due to a temporary failure of the server."},
	unsigned:    refusal{status: 403, code: "MissingAuthenticationToken", message: missingToken},
	unknown:     refusal{status: 403, code: "InvalidClientTokenId", message: invalidToken},
	mismatched:  refusal{status: 403, code: "SignatureDoesNotMatch", message: wrongSignature},
	expired:     refusal{status: 403, code: "SignatureDoesNotMatch", message: signatureExpired},
	invalid:     "ValidationError", unsupported: "ValidationError",
}

var eksWords = words{
	throttled:   refusal{status: 429, code: "ThrottlingException", message: "Rate exceeded"},
	denied:      refusal{status: 403, code: "AccessDeniedException", message: "User is not authorized to perform this operation"},
	failed:      refusal{status: 500, code: "ServerException", message: "Internal server error"},
	unavailable: refusal{status: 503, code: "ServiceUnavailableException", message: "Service Unavailable"},
	unsigned:    refusal{status: 403, code: "MissingAuthenticationTokenException", message: "Missing Authentication Token"},
	unknown:     refusal{status: 403, code: "UnrecognizedClientException", message: invalidToken},
	mismatched:  refusal{status: 403, code: "InvalidSignatureException", message: wrongSignature},
	expired:     refusal{status: 403, code: "InvalidSignatureException", message: signatureExpired},
	invalid:     "InvalidParameterException", unsupported: "InvalidParameterException",
}

var quotasWords = words{
	throttled: refusal{status: 400, code: "TooManyRequestsException",
		message: "Due to throttling, the request was denied. Slow down the rate of request calls, or request an increase for this quota."},
	denied:      refusal{status: 400, code: "AccessDeniedException", message: "User is not authorized to perform this operation"},
	failed:      refusal{status: 500, code: "ServiceException", message: "Something went wrong."},
	unavailable: refusal{status: 503, code: "ServiceUnavailableException", message: "Service Unavailable"},
	unsigned:    refusal{status: 400, code: "MissingAuthenticationTokenException", message: "Missing Authentication Token"},
	unknown:     refusal{status: 400, code: "UnrecognizedClientException", message: invalidToken},
	mismatched:  refusal{status: 400, code: "InvalidSignatureException", message: wrongSignature},
	expired:     refusal{status: 400, code: "InvalidSignatureException", message: signatureExpired},
	invalid:     "IllegalArgumentException", unsupported: "IllegalArgumentException",
}
