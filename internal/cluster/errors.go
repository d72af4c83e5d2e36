package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/m3o/platform/internal/fault"
)

// explain turns what the API server, or the way to it, said into a fault. The format completes "cannot …". No error stays none.
func explain(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	doing := fmt.Sprintf(format, args...)
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	kind, words := classify(err)
	f := fault.New(kind, "cannot %s: %s", doing, words)
	if apierrors.ReasonForError(err) == metav1.StatusReasonUnknown {
		f = fault.Wrap(kind, err, "cannot %s: %s", doing, words) // the words leave something out: operators see it
	}
	f.RetryAfter = retryAfter(err)
	return f
}

// classify gives the kind of an error and the words for users. The order matters: what only looks like a refusal (a
// namespace that is going away, a quota) comes before refusals.
func classify(err error) (fault.Kind, string) {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return unreachable(err)
	}
	words := status.Status().Message
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return fault.Unavailable, "its namespace is being removed; it can be made again when that is over"
	case apierrors.IsForbidden(err) && strings.Contains(words, "exceeded quota"):
		return fault.Quota, words
	case apierrors.IsForbidden(err):
		return fault.Denied, words
	case apierrors.IsUnauthorized(err):
		// Not Unauthenticated: a caller comes back with fresh credentials, so another try can succeed.
		return fault.Unavailable, "the cluster does not accept our credentials"
	case apierrors.IsNotFound(err):
		return fault.NotFound, words
	case apierrors.IsAlreadyExists(err):
		return fault.Exists, words
	case apierrors.IsConflict(err) && foreign(err):
		return fault.Conflict, words
	case apierrors.IsConflict(err):
		return fault.Unavailable, words // somebody wrote at the same moment: read again, write again
	case apierrors.IsTooManyRequests(err):
		return fault.Throttled, words
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err), apierrors.IsMethodNotSupported(err):
		return fault.Invalid, words
	}
	return serverTrouble(status.Status())
}

func serverTrouble(status metav1.Status) (fault.Kind, string) {
	if status.Code >= 500 || status.Reason == metav1.StatusReasonTimeout {
		return fault.Unavailable, "the cluster's API server has trouble: " + status.Message
	}
	return fault.Unknown, status.Message
}

// foreign reports whether a conflict is about fields that another manager owns.
func foreign(err error) bool {
	return apierrors.HasStatusCause(err, metav1.CauseTypeFieldManagerConflict)
}

// unreachable is for errors that are not the API server's. The text is ours: a URL may carry anything.
func unreachable(err error) (fault.Kind, string) {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return fault.Unavailable, "the call was given up"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return fault.Unavailable, "the cluster's API server does not answer in time"
	case errors.As(err, &dns):
		return fault.Unavailable, "the name of the cluster's API server is not known to DNS"
	case strings.Contains(err.Error(), "x509:"), strings.Contains(err.Error(), "tls:"):
		return fault.Unavailable, "the cluster's API server shows a certificate that its kubeconfig does not vouch for"
	case strings.Contains(err.Error(), "connection refused"):
		return fault.Unavailable, "nothing answers at the address of the cluster's API server"
	}
	return fault.Unavailable, "the cluster's API server cannot be reached"
}

// retryAfter is how long the API server asked us to stay away.
func retryAfter(err error) time.Duration {
	seconds, asked := apierrors.SuggestsClientDelay(err)
	if !asked {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
