package azure

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/m3o/platform/internal/fault"
)

// answer keeps the answer to a request that may begin a long-running operation.
type answer struct{ response *http.Response }

// watched has the answer to the next request kept.
func watched(ctx context.Context) (context.Context, *answer) {
	kept := &answer{}
	return policy.WithCaptureResponse(ctx, &kept.response), kept
}

// maxOperation is how long a hint may be. Azure signs the addresses of operations, which makes them about half as long.
const maxOperation = 8 << 10

// operation is the address under which Azure tells how the operation goes, "" when none began.
func (a *answer) operation() string {
	if a.response == nil {
		return ""
	}
	for _, header := range []string{"Azure-AsyncOperation", "Location"} {
		if at := a.response.Header.Get(header); at != "" && len(at) <= maxOperation {
			return at
		}
	}
	return ""
}

// reason is why an operation failed, in Azure's words: "" when it did not, or when nobody knows of it any more.
func (p *Provider) reason(ctx context.Context, operation string) (string, error) {
	if !p.isOurs(operation) {
		return "", nil
	}
	var found struct {
		Status string `json:"status"`
		Error  *said  `json:"error"`
	}
	err := explain(p.get(ctx, operation, &found), "tell how an operation went")
	switch {
	case err == nil && found.Error != nil:
		return found.Error.String(), nil
	case err == nil, fault.Is(err, fault.NotFound), fault.Is(err, fault.Invalid), fault.Is(err, fault.Unknown):
		return "", nil
	}
	return "", err
}

// isOurs reports whether a hint is an address of the Resource Manager: a token is sent nowhere else.
func (p *Provider) isOurs(operation string) bool {
	at, err := url.Parse(operation)
	home, wrong := url.Parse(p.raw.Endpoint())
	return err == nil && wrong == nil && len(operation) <= maxOperation && at.Scheme == "https" && at.User == nil && strings.EqualFold(at.Host, home.Host)
}
