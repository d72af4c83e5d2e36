package gcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/container/apiv1/containerpb"
	"golang.org/x/oauth2"
	"google.golang.org/api/compute/v1"
	"google.golang.org/genproto/googleapis/rpc/status"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// answers is a transport that answers every request alike, from memory.
type answers func(r *http.Request) (status int, header http.Header, body string)

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	code, header, body := a(r)
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Type", "application/json; charset=UTF-8")
	return &http.Response{StatusCode: code, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func projectWith(t *testing.T, transport http.RoundTripper) *Provider {
	t.Helper()
	p, err := New(Config{Project: "acme-prod", Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "secret-token"}), URL: "http://127.0.0.1:1", Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What GCP really answers, over both of its SDKs.
func TestAnswersHaveAKindAndANextStep(t *testing.T) {
	one := func(code int, message, status, reason string) string {
		return fmt.Sprintf(`{"error":{"code":%d,"message":%q,"status":%q,"errors":[{"message":%q,"domain":"global","reason":%q}]}}`, code, message, status, message, reason)
	}
	for name, c := range map[string]struct {
		code  int
		body  string
		kind  fault.Kind
		words string
	}{
		"there already, of Compute Engine": {409, one(409, "The resource 'projects/acme-prod/global/networks/a' already exists", "", "alreadyExists"), fault.Exists, "already exists"},
		"there already, of GKE":            {409, `{"error":{"code":409,"message":"Already exists: projects/acme-prod/locations/europe-west1/clusters/a.","status":"ALREADY_EXISTS"}}`, fault.Exists, "Already exists"},
		"another wrote the policy":         {409, `{"error":{"code":409,"message":"There were concurrent policy changes.","status":"ABORTED"}}`, fault.Conflict, "concurrent"},
		"an operation is in the way": {400, `{"error":{"code":400,"message":"Operation operation-1 is currently creating cluster a. Please wait and try again once it is done.","status":"FAILED_PRECONDITION"}}`,
			fault.Conflict, "currently creating"},
		"the same without a status":   {400, one(400, "Cluster is running incompatible operation operation-1.", "", "badRequest"), fault.Conflict, "incompatible operation"},
		"used by another":             {400, one(400, "The network resource 'a' is already being used by 'b'", "", "resourceInUseByAnotherResource"), fault.Conflict, "being used"},
		"not ready":                   {400, one(400, "The resource 'a' is not ready", "", "resourceNotReady"), fault.Conflict, "not ready"},
		"wrong":                       {400, one(400, "Invalid value for field 'resource.name': 'A'.", "", "invalid"), fault.Invalid, "resource.name"},
		"not there":                   {404, one(404, "The resource 'a' was not found", "", "notFound"), fault.NotFound, "not found"},
		"too many, of Compute Engine": {403, one(403, "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute' of service 'compute.googleapis.com'.", "", "rateLimitExceeded"), fault.Throttled, "per minute"},
		"too many, of GKE":            {429, `{"error":{"code":429,"message":"Quota exceeded for quota metric 'requests' and limit 'Requests per minute'.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"7s"}]}}`, fault.Throttled, "per minute"},
		"too many operations":         {403, `{"error":{"code":403,"message":"Too many.","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"CONCURRENT_OPERATIONS_QUOTA_EXCEEDED"}]}}`, fault.Throttled, "Too many"},
		"a quota of Compute Engine":   {403, one(403, "Quota 'NETWORKS' exceeded.  Limit: 5.0 globally.", "", "quotaExceeded"), fault.Quota, "IAM & Admin, Quotas"},
		"a quota of GKE":              {403, `{"error":{"code":403,"message":"Insufficient regional quota to satisfy request: resource \"CPUS\": request requires '6.0' and is short '2.0'. project has a quota of '24.0' with '4.0' available.","status":"PERMISSION_DENIED"}}`, fault.Quota, "IAM & Admin, Quotas"},
		"a permission":                {403, one(403, "Required 'compute.networks.create' permission for 'projects/acme-prod/global/networks/a'", "", "forbidden"), fault.Denied, "a role with compute.networks.create"},
		"a permission of IAM":         {403, `{"error":{"code":403,"message":"Permission 'iam.serviceAccounts.create' denied on resource (or it may not exist).","status":"PERMISSION_DENIED"}}`, fault.Denied, "a role with iam.serviceAccounts.create"},
		"a service": {403, `{"error":{"code":403,"message":"Kubernetes Engine API has not been used in project 1 before or it is disabled.","status":"PERMISSION_DENIED",
			"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"SERVICE_DISABLED","domain":"googleapis.com","metadata":{"service":"container.googleapis.com"}}]}}`,
			fault.Denied, "gcloud services enable container.googleapis.com"},
		"credentials": {401, `{"error":{"code":401,"message":"Request had invalid authentication credentials.","status":"UNAUTHENTICATED"}}`, fault.Denied, "invalid authentication"},
		"trouble":     {503, `{"error":{"code":503,"message":"The service is currently unavailable.","status":"UNAVAILABLE"}}`, fault.Unavailable, "unavailable"},
		"a proxy":     {502, `<html>Bad Gateway</html>`, fault.Unavailable, "502"},
	} {
		p := projectWith(t, answers(func(*http.Request) (int, http.Header, string) { return c.code, nil, c.body }))
		_, ofCompute := p.compute.Networks.Get("acme-prod", "a").Context(t.Context()).Do()
		_, ofContainer := p.containers.GetCluster(t.Context(), &containerpb.GetClusterRequest{Name: "projects/acme-prod/locations/europe-west1/clusters/a"})
		for sdk, err := range map[string]error{"compute": ofCompute, "container": ofContainer} {
			f := explain(err, "look")
			if !fault.Is(f, c.kind) || !strings.Contains(fault.Message(f), c.words) || !strings.HasPrefix(fault.Message(f), "GCP refused to look: ") {
				t.Errorf("%s, over %s: got %q (kind %s), want kind %s and %q", name, sdk, fault.Message(f), fault.Of(f), c.kind, c.words)
			}
			var known *fault.Error
			if errors.As(f, &known) && c.kind == fault.Throttled && (known.RetryAfter <= 0 || strings.Contains(c.body, "7s") && known.RetryAfter != 7*time.Second) {
				t.Errorf("%s: come back after %s", name, known.RetryAfter)
			}
			if strings.Contains(fmt.Sprint(f), "secret-token") {
				t.Errorf("%s: the token is in the error: %v", name, f)
			}
		}
	}
}

func TestATokenThatIsRefusedIsDenied(t *testing.T) {
	for want, err := range map[fault.Kind]*oauth2.RetrieveError{
		fault.Denied:      {Response: &http.Response{StatusCode: 400}, ErrorCode: "invalid_grant", ErrorDescription: "Invalid JWT Signature."},
		fault.Unavailable: {Response: &http.Response{StatusCode: 503, Status: "503 Service Unavailable"}},
	} {
		p := projectWith(t, http.DefaultTransport)
		p.tokens = nil
		got := explain(fmt.Errorf("get a token: %w", err), "describe the project")
		if !fault.Is(got, want) || !strings.Contains(fault.Message(got), "check the worker's service account") {
			t.Errorf("%v: got %v (kind %s)", err, got, fault.Of(got))
		}
	}
	if err := explain(fmt.Errorf("x: %w", context.DeadlineExceeded), "look"); !errors.Is(err, context.DeadlineExceeded) || fault.Of(err) != fault.Unknown {
		t.Errorf("the end of a context is %v", err)
	}
}

func TestOperationsThatFailedSayWhy(t *testing.T) {
	for code, want := range map[string]fault.Kind{"QUOTA_EXCEEDED": fault.Quota, "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": fault.Quota, "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE": fault.Conflict,
		"PERMISSIONS_ERROR": fault.Denied, "INTERNAL_ERROR": fault.Unavailable, "INVALID_FIELD_VALUE": fault.Invalid, "SOMETHING": fault.Failed} {
		err := explainOperation(&compute.Operation{Name: "operation-1", Error: &compute.OperationError{Errors: []*compute.OperationErrorErrors{{Code: code, Message: "in words"}}}}, "create it")
		if !fault.Is(err, want) || !strings.Contains(fault.Message(err), "in words") || !strings.Contains(fault.Message(err), "operation-1") {
			t.Errorf("%s: got %v (kind %s), want %s", code, err, fault.Of(err), want)
		}
	}
	stocked := explainOperation(&compute.Operation{Error: &compute.OperationError{Errors: []*compute.OperationErrorErrors{{Code: "ZONE_RESOURCE_POOL_EXHAUSTED", Message: "none"}}}}, "create it")
	if !strings.Contains(fault.Message(stocked), "try another size") || strings.Contains(fault.Message(stocked), "quota") {
		t.Errorf("a zone without machines: %v", stocked)
	}
	if err := explainOperation(&compute.Operation{Status: "DONE"}, "create it"); err != nil {
		t.Errorf("one that went well: %v", err)
	}
	if err := explainStatus(&status.Status{Code: 8, Message: "Insufficient quota"}, "create it"); !fault.Is(err, fault.Quota) {
		t.Errorf("GKE's quota: %v", err)
	}
	if err := explainStatus(nil, "create it"); err != nil {
		t.Errorf("GKE's that went well: %v", err)
	}
}

// A network whose insert failed vanishes: only the operation tells why.
func TestAHintTellsWhyANetworkVanished(t *testing.T) {
	const link = "https://www.googleapis.com/compute/v1/projects/123/global/networks/m3o-micro-ew1"
	p := projectWith(t, answers(func(r *http.Request) (int, http.Header, string) {
		if strings.Contains(r.URL.Path, "/operations/operation-1") {
			return 200, nil, `{"name":"operation-1","status":"DONE","operationType":"insert","targetLink":"` + link + `","error":{"errors":[{"code":"QUOTA_EXCEEDED","message":"Quota 'NETWORKS' exceeded."}]}}`
		}
		if r.Method != http.MethodGet {
			t.Errorf("%s %s", r.Method, r.URL.Path)
		}
		return 404, nil, `{"error":{"code":404,"message":"not found","errors":[{"reason":"notFound"}]}}`
	}))
	spec := region.Spec{Platform: "micro", Name: "ew1", Location: "europe-west1"}.NetworkSpec()
	if _, err := p.EnsureNetwork(t.Context(), spec, "compute/global/operation-1"); !fault.Is(err, fault.Quota) || !strings.Contains(fault.Message(err), "NETWORKS") {
		t.Errorf("got %v", err)
	}
}

// What failed for no reason of its own is asked for again, although the hint stays the same as long as nothing new begins.
func TestAPassingFailureIsNotToldForEver(t *testing.T) {
	const things = "https://www.googleapis.com/compute/v1/projects/123/global/networks/m3o-micro-ew1"
	network := `{"name":"m3o-micro-ew1","description":"` + region.Key{Platform: "micro", Name: "ew1"}.Owner() + `"}`
	spec := region.Spec{Platform: "micro", Name: "ew1", Location: "europe-west1", Kubernetes: region.Kubernetes{Version: "1.34", Nodes: region.Nodes{Count: 1, Size: "e2-standard-2"}}}
	for name, c := range map[string]struct {
		failed string // how the hint's operation ended
		there  string // the network
		change string // is asked for
		step   func(*Provider) (next string, err error)
	}{
		"make a network": {`{"name":"operation-1","status":"DONE","operationType":"insert","targetLink":"` + things + `","error":{"errors":[{"code":"INTERNAL_ERROR","message":"Internal error."}]}}`, "", "POST global/networks",
			func(p *Provider) (string, error) {
				now, err := p.EnsureNetwork(t.Context(), spec.NetworkSpec(), "compute/global/operation-1")
				return now.Operation, err
			}},
		"remove a network": {`{"name":"operation-1","status":"DONE","operationType":"delete","targetLink":"` + things + `","error":{"errors":[{"code":"BACKEND_ERROR","message":"Try again."}]}}`, network, "DELETE global/networks/m3o-micro-ew1",
			func(p *Provider) (string, error) {
				now, err := p.DeleteNetwork(t.Context(), spec.NetworkSpec(), "compute/global/operation-1")
				return now.Operation, err
			}},
	} {
		m := &memory{t: t, answers: map[string]string{"GET global/operations/operation-1": c.failed,
			c.change: `{"name":"operation-2","status":"RUNNING","targetLink":"` + things + `"}`, "POST regions/europe-west1/addresses": `{"name":"operation-3","status":"RUNNING","region":"https://x/regions/europe-west1"}`}}
		if c.there != "" {
			m.answers["GET global/networks/m3o-micro-ew1"] = c.there
		}
		next, err := c.step(m.project())
		if err != nil || !strings.HasPrefix(next, "compute/global/operation-2") || !slices.Contains(m.changes(), c.change) {
			t.Errorf("%s: it goes on with %q after %v, %v", name, next, m.changes(), err)
		}
	}
	if mayPass(explainStatus(&status.Status{Code: 8, Message: "Insufficient quota 'CPUS'"}, "create it")) || !mayPass(explainStatus(&status.Status{Code: 13, Message: "Internal error."}, "create it")) {
		t.Error("a quota passes by itself, or GKE's own trouble does not")
	}
}

func TestHintsAreReadWithCare(t *testing.T) {
	for hint, want := range map[string]int{
		"": 0, "compute/global/operation-1": 1, "compute/global/operation-1 compute/europe-west1/operation-2": 2,
		"compute/us-east1/operation-1": 0, "compute/global/../../x": 0, "compute/global/a/b": 0, "nonsense \x00\xff": 0, "container/operation-1": 0,
		strings.Repeat("compute/global/operation-1 ", 100): operationsAtOnce,
	} {
		if got := computeOperations(hint, "europe-west1"); len(got) != want {
			t.Errorf("%q: got %v, want %d", hint, got, want)
		}
	}
	for hint, want := range map[string]string{"container/operation-1": "operation-1", "container/../x": "", "operation-1": "", "compute/global/operation-1": ""} {
		if got := containerOperation(hint); got != want {
			t.Errorf("%q: got %q", hint, got)
		}
	}
}
