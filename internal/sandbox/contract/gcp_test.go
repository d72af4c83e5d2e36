//go:build contract

package contract

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/m3o/platform/internal/cloud/cloudtest"
	"github.com/m3o/platform/internal/cloud/gcp/gcptest"
	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
	"github.com/m3o/platform/internal/sandbox/gcp"
	"github.com/m3o/platform/internal/sandbox/sandboxtest"
	"github.com/m3o/platform/internal/sandbox/world"
)

// gcpDeviations are where the official SDKs or the sandbox differ from the discovery documents, and why that is right.
var gcpDeviations = []deviation{
	{"container.*", "request", "?$alt", "the SDK asks for enums as numbers by a system parameter that the documents leave out"},
	legacyChecks,
}

// legacyChecks are health checks of target pools. The adapter lists them through google.golang.org/api.
var legacyChecks = deviation{"compute.httpHealthChecks.*", "answer", "computepb",
	"cloud.google.com/go/compute leaves legacy health checks out; the discovery document has them"}

// TestGCPAdapter runs the adapter's conformance suite through the check, lost answers and all.
func TestGCPAdapter(t *testing.T) {
	check := newGCPChecker(t, gcpDeviations)
	t.Run("conformance", func(t *testing.T) {
		cloudtest.Run(t, func(t *testing.T) cloudtest.Harness {
			account := newGCPAccount(t, clusterstest.New(20))
			account.Transport = check
			return account.Harness(t)
		})
	})
	var used []string
	for operation := range check.seen {
		used = append(used, operation)
	}
	check.finish(used)
	if len(used) < 20 {
		t.Errorf("the suite used only %v", used)
	}
}

// TestGCP sends every operation of the sandbox by hand, good requests and bad ones, and has both directions checked.
func TestGCP(t *testing.T) {
	check := newGCPChecker(t, []deviation{legacyChecks})
	runner := clusterstest.New(20)
	runner.Made(clusters.Inventory{
		LoadBalancers: []clusters.LoadBalancer{{UID: "u", Name: "a0123456789", IP: "127.0.0.9", Service: "shop/web", Ports: []clusters.Port{{Protocol: "tcp", Port: 80, NodePort: 30080}}}},
		Volumes:       []clusters.Volume{{UID: "v", Name: "pvc-1", Claim: "shop/data", SizeGiB: 5}}})
	e := &gcpExchange{t: t, account: newGCPAccount(t, runner), check: check}
	e.client = &http.Client{Transport: &oauth2.Transport{Source: e.account.Tokens, Base: check}, Timeout: 10 * time.Second}
	e.network()
	e.cluster()
	e.project()
	e.removal()
	var all []string
	for _, operation := range gcpOperations(t) {
		if !strings.HasPrefix(operation, "oauth2.") { // no discovery document: RFC 7523, and the SDKs' own
			all = append(all, operation)
		}
	}
	check.finish(slices.Compact(slices.Sorted(slices.Values(all))))
	for _, operation := range all {
		never := slices.ContainsFunc(neverMade, func(kind string) bool { return strings.HasPrefix(operation, "compute."+kind+".") })
		if check.codes[operation][http.StatusOK] == 0 && !never {
			t.Errorf("%s was never answered with success: %v", operation, check.codes[operation])
		}
	}
}

// neverMade are kinds that only Ingress controllers and people make, which the sandbox's clusters and callers do not. They are looked for
// after a cluster's end.
var neverMade = []string{"snapshots", "networkEndpointGroups", "regionBackendServices", "regionHealthChecks"}

func gcpOperations(t *testing.T) []string {
	t.Helper()
	a, err := gcp.NewAccount("contract")
	must(t, err)
	w, err := world.Open(t.TempDir(), world.Clock{Scale: 1})
	must(t, err)
	defer func() { must(t, w.Close()) }()
	cloud, err := gcp.New(gcp.Config{World: w, Runner: clusterstest.New(1), Versions: []string{"1.34"}, Account: a, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	return cloud.Operations()
}

// gcpExchange sends requests as they are written.
type gcpExchange struct {
	t       *testing.T
	account gcptest.Account
	check   *gcpChecker
	client  *http.Client
}

// send sends a request and wants one of the statuses.
func (e *gcpExchange) send(method, path, body string, want ...int) string {
	e.t.Helper()
	request, err := http.NewRequestWithContext(e.t.Context(), method, e.account.URL+strings.ReplaceAll(path, "PROJECT", "projects/m3o-sandbox"), strings.NewReader(body))
	must(e.t, err)
	answer, err := e.client.Do(request)
	must(e.t, err)
	text, err := drain(&answer.Body)
	must(e.t, err)
	if len(want) == 0 {
		want = []int{http.StatusOK}
	}
	if !slices.Contains(want, answer.StatusCode) {
		e.t.Errorf("%s %s: %d, want %v: %s", method, path, answer.StatusCode, want, text)
	}
	return string(text)
}

// until repeats a GET until the answer has the words.
func (e *gcpExchange) until(path, words string) {
	e.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if strings.Contains(e.send("GET", path, "", 200, 404, 400), words) {
			return
		}
	}
	e.t.Fatalf("GET %s never says %s", path, words)
}

const (
	gcpCompute  = "/compute/v1/PROJECT"
	gcpRegion   = gcpCompute + "/regions/europe-west1"
	gcpZone     = gcpCompute + "/zones/europe-west1-b"
	gcpClusters = "/v1/PROJECT/locations/europe-west1"
)

// done waits for the one operation of a scope that is under way.
func (e *gcpExchange) done(scope string) {
	e.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		text := e.send("GET", gcpCompute+scope+"/operations?filter=status!=DONE", "")
		if !strings.Contains(text, `"items"`) {
			return
		}
	}
	e.t.Fatal("the operations never end")
}

func (e *gcpExchange) network() {
	e.send("POST", gcpCompute+"/global/networks?requestId=0b1e6a5c-5b0a-4c57-9f7e-0d1a8f6f9f10", `{"name":"n","autoCreateSubnetworks":false}`)
	e.send("POST", gcpCompute+"/global/networks", `{"name":"n","autoCreateSubnetworks":false}`, 409)
	e.done("/global")
	e.send("POST", gcpRegion+"/subnetworks", `{"name":"s","network":"global/networks/n","ipCidrRange":"10.20.0.0/20",
		"secondaryIpRanges":[{"rangeName":"pods","ipCidrRange":"10.20.128.0/17"},{"rangeName":"services","ipCidrRange":"10.20.16.0/20"}]}`)
	e.send("POST", gcpRegion+"/addresses", `{"name":"a","labels":{"k":"v"}}`)
	e.send("GET", gcpRegion+"/addresses/a", "")
	e.done("/regions/europe-west1")
	e.send("PATCH", gcpRegion+"/subnetworks/s", `{"privateIpGoogleAccess":true}`)
	e.done("/regions/europe-west1")
	e.send("POST", gcpRegion+"/subnetworks/s/setPrivateIpGoogleAccess", `{"privateIpGoogleAccess":false}`)
	nats := fmt.Sprintf(`"nats":[{"name":"nat","natIpAllocateOption":"MANUAL_ONLY","natIps":[%q],"sourceSubnetworkIpRangesToNat":"ALL_SUBNETWORKS_ALL_IP_RANGES"}]`,
		"regions/europe-west1/addresses/a")
	e.send("POST", gcpRegion+"/routers", `{"name":"r","network":"global/networks/n",`+nats+`}`)
	e.done("/regions/europe-west1")
	e.send("PATCH", gcpRegion+"/routers/r", `{`+nats+`}`)
	e.send("POST", gcpCompute+"/global/firewalls", `{"name":"f","network":"global/networks/n","allowed":[{"IPProtocol":"tcp"}]}`)
	e.done("/global")
	e.send("PATCH", gcpCompute+"/global/firewalls/f", `{"priority":900}`)
	e.send("POST", gcpZone+"/disks", `{"name":"d","sizeGb":"10"}`)
	e.done("/zones/europe-west1-b")
	e.done("/regions/europe-west1")
	for _, path := range []string{"", "/regions", "/regions/europe-west1", "/zones", "/zones/europe-west1-b", "/zones/europe-west1-b/machineTypes",
		"/zones/europe-west1-b/machineTypes/e2-standard-2", "/aggregated/machineTypes?filter=name=e2-medium"} {
		e.send("GET", gcpCompute+path, "")
	}
	for _, scope := range []string{"/global", "/regions/europe-west1", "/zones/europe-west1-b"} {
		text := e.send("GET", gcpCompute+scope+"/operations?maxResults=1", "")
		_, after, _ := strings.Cut(text, `"name": "operation-`)
		name, _, _ := strings.Cut(after, `"`)
		e.send("GET", gcpCompute+scope+"/operations/operation-"+name, "")
		e.send("POST", gcpCompute+scope+"/operations/operation-"+name+"/wait", "")
		e.send("GET", gcpCompute+scope+"/operations/operation-x", "", 404)
	}
}

// cluster makes one, changes it, and looks at what it is made of.
func (e *gcpExchange) cluster() {
	e.send("POST", "/v1/PROJECT/serviceAccounts", `{"accountId":"nodes-1","serviceAccount":{"displayName":"Nodes"}}`)
	e.until("/v1/PROJECT/serviceAccounts/nodes-1@m3o-sandbox.iam.gserviceaccount.com", `"uniqueId"`)
	const pool = `{"name":"b","initialNodeCount":1,"locations":["europe-west1-b"],"config":{"serviceAccount":"nodes-1@m3o-sandbox.iam.gserviceaccount.com"}}`
	e.send("POST", gcpClusters+"/clusters", `{"cluster":{"name":"c","network":"n","subnetwork":"s","nodePools":[`+pool+`],"initialClusterVersion":"1.34",
		"ipAllocationPolicy":{"useIpAliases":true,"clusterSecondaryRangeName":"pods","servicesSecondaryRangeName":"services"}}}`)
	e.send("DELETE", gcpClusters+"/clusters/c", "", 400)
	e.settled()
	e.send("GET", gcpClusters+"/clusters", "")
	e.send("GET", gcpClusters+"/serverConfig", "")
	e.send("POST", gcpClusters+"/clusters/c/nodePools", `{"nodePool":`+strings.ReplaceAll(pool, `"b"`, `"second"`)+`}`)
	e.settled()
	e.send("GET", gcpClusters+"/clusters/c/nodePools", "")
	e.send("GET", gcpClusters+"/clusters/c/nodePools/second", "")
	e.send("POST", gcpClusters+"/clusters/c/nodePools/second:setSize", `{"nodeCount":2}`)
	e.settled()
	e.send("DELETE", gcpClusters+"/clusters/c/nodePools/second", "")
	e.settled()
	e.send("PUT", gcpClusters+"/clusters/c", `{"update":{"desiredMasterAuthorizedNetworksConfig":{"enabled":true,"cidrBlocks":[{"cidrBlock":"10.0.0.0/8"}]}}}`)
	e.settled()
	e.send("POST", gcpClusters+"/clusters/c:setResourceLabels", `{"resourceLabels":{"a":"b"},"labelFingerprint":"x"}`, 400)
	e.send("POST", gcpClusters+"/clusters/c:setResourceLabels", `{"resourceLabels":{"a":"b"},"labelFingerprint":"`+e.fingerprint()+`"}`)
	e.settled()
	e.send("POST", gcpClusters+"/clusters/c:updateMaster", `{"masterVersion":"1.35"}`)
	text := e.send("GET", gcpClusters+"/operations", "")
	_, name, _ := strings.Cut(text[strings.LastIndex(text, `"operation-`):], `"`)
	name, _, _ = strings.Cut(name, `"`)
	e.send("GET", gcpClusters+"/operations/"+name, "")
	e.send("POST", gcpClusters+"/operations/"+name+":cancel", `{}`)
	e.settled()
	for _, kind := range []string{"instances", "instanceGroupManagers"} {
		e.send("GET", gcpZone+"/"+kind+"/"+firstName(e.send("GET", gcpZone+"/"+kind, "")), "")
		e.send("GET", gcpZone+"/"+kind+"/x", "", 404)
		e.send("GET", gcpCompute+"/aggregated/"+kind, "")
	}
}

// firstName is the name of the first resource of a list.
func firstName(list string) string {
	var told struct {
		Items []struct {
			Name string `json:"name"`
		} `json:"items"`
	}
	if err := json.Unmarshal([]byte(list), &told); err != nil || len(told.Items) == 0 {
		return "none"
	}
	return told.Items[0].Name
}

// fingerprint is that of the cluster's labels.
func (e *gcpExchange) fingerprint() string {
	var told struct {
		Fingerprint string `json:"labelFingerprint"`
	}
	must(e.t, json.Unmarshal([]byte(e.send("GET", gcpClusters+"/clusters/c", "")), &told))
	return told.Fingerprint
}

// settled waits until no operation of the cluster is under way.
func (e *gcpExchange) settled() {
	e.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		text := e.send("GET", gcpClusters+"/clusters/c", "", 200, 404)
		for _, state := range []string{"RUNNING", "ERROR", "notFound"} {
			if strings.Contains(strings.ReplaceAll(text[strings.LastIndex(text, `"status"`):], " ", ""), `"`+state+`"`) || strings.Contains(text, `"notFound"`) {
				return
			}
		}
	}
	e.t.Fatal("the cluster is never settled")
}

// project looks at accounts, policy and services.
func (e *gcpExchange) project() {
	e.send("GET", "/v1/PROJECT/serviceAccounts", "")
	e.send("GET", "/v1/projects/m3o-sandbox", "")
	policy := e.send("POST", "/v1/projects/m3o-sandbox:getIamPolicy", `{"options":{"requestedPolicyVersion":3}}`)
	e.send("POST", "/v1/projects/m3o-sandbox:setIamPolicy", `{"policy":`+policy+`}`)
	e.send("POST", "/v1/projects/m3o-sandbox:setIamPolicy", `{"policy":`+policy+`}`, 409)
	e.send("POST", "/v1/projects/m3o-sandbox:testIamPermissions", `{"permissions":["compute.networks.get"]}`)
	e.send("GET", "/v1/PROJECT/services?filter=state:ENABLED", "")
	e.send("GET", "/v1/PROJECT/services:batchGet?names=projects/m3o-sandbox/services/compute.googleapis.com", "")
	e.send("GET", "/v1/PROJECT/services/dns.googleapis.com", "")
	text := e.send("POST", "/v1/PROJECT/services:batchEnable", `{"serviceIds":["dns.googleapis.com"]}`)
	_, after, _ := strings.Cut(text, `"name": "`)
	name, _, _ := strings.Cut(after, `"`)
	e.until("/v1/"+name, `"done"`)
}

// removal takes everything down, and what the cluster left.
func (e *gcpExchange) removal() {
	e.until(gcpZone+"/disks/pvc-1", `"READY"`)
	e.send("DELETE", gcpClusters+"/clusters/c", "")
	e.settled()
	for e.settledGone() {
		time.Sleep(20 * time.Millisecond)
	}
	for _, path := range []string{"/regions/europe-west1/forwardingRules", "/regions/europe-west1/targetPools", "/global/httpHealthChecks",
		"/regions/europe-west1/backendServices", "/regions/europe-west1/healthChecks", "/global/snapshots", "/zones/europe-west1-b/networkEndpointGroups",
		"/global/firewalls", "/regions/europe-west1/routers", "/regions/europe-west1/addresses", "/zones/europe-west1-b/disks",
		"/regions/europe-west1/subnetworks", "/global/networks"} {
		parts := strings.Split(path, "/")
		if parts[1] != "global" {
			e.send("GET", gcpCompute+"/aggregated/"+parts[len(parts)-1], "")
		}
		e.send("DELETE", gcpCompute+path+"/none", "", 404)
		for { // until the list is empty, but for the default network and its subnetworks
			name := firstName(e.send("GET", gcpCompute+path+"?filter=name!=default", ""))
			e.send("GET", gcpCompute+path+"/"+name, "", 200, 404)
			if name == "none" {
				break
			}
			e.send("DELETE", gcpCompute+path+"/"+name, "")
			e.done(strings.TrimSuffix(path, "/"+parts[len(parts)-1]))
		}
	}
	e.send("DELETE", "/v1/PROJECT/serviceAccounts/nodes-1@m3o-sandbox.iam.gserviceaccount.com", "")
}

// settledGone says that the cluster is still there.
func (e *gcpExchange) settledGone() bool {
	e.t.Helper()
	return !strings.Contains(e.send("GET", gcpClusters+"/clusters/c", "", 200, 404), "notFound")
}

// TestTheGCPCheckNotices spoils answers and requests, and sees that the check says so: a check that cannot fail is none.
func TestTheGCPCheckNotices(t *testing.T) {
	check := newGCPChecker(t, []deviation{{"compute.networks.list", "answer", "/none", "none"}})
	var problems []string
	check.report = func(problem string) { problems = append(problems, problem) }
	account := newGCPAccount(t, clusterstest.New(1))
	e := &gcpExchange{t: t, account: account, check: check, client: &http.Client{Transport: &oauth2.Transport{Source: account.Tokens, Base: check}}}
	e.send("GET", gcpCompute+"/global/networks", "")
	if len(problems) > 0 {
		t.Fatalf("a right answer is reported: %v", problems)
	}
	for from, to := range map[string]string{`"id": "`: `"id": "x`, `"kind":`: `"kin":`, `"mtu": `: `"mtu": "1", "x": `, `REGIONAL`: `LOCAL`, `{`: `<`,
		`": 1460`: `": 9999991460`} { // the last is a whole number, and no int32: only computepb refuses it
		problems = nil
		check.next = alter{next: http.DefaultTransport, change: func(_ *http.Response, body string) string { return strings.Replace(body, from, to, 2) }}
		e.send("GET", gcpCompute+"/global/networks", "")
		if len(problems) == 0 {
			t.Errorf("%s for %s is not noticed", to, from)
		}
	}
	check.next, problems = http.DefaultTransport, nil
	e.send("GET", gcpCompute+"/global/networks?colour=red", "")
	e.send("POST", gcpClusters+"/clusters", `{"cluster":{"colour":"red"}}`, 400)
	e.send("POST", gcpCompute+"/global/networks", `{"name":"n","autoCreateSubnetworks":false,"peerings":[]}`, 200, 400)
	e.send("GET", gcpCompute+"/global/httpHealthChecks", "")
	check.finish([]string{"compute.networks.list", "compute.networks.patch"})
	for _, words := range []string{"?colour", "unknown field", "does not happen any more", "compute.networks.patch was not checked",
		`compute.networks.insert: the request differs from the description at "/peerings": by computepb`, "there is no message HttpHealthCheckList"} {
		if !strings.Contains(strings.Join(problems, "\n"), words) {
			t.Errorf("%q is not among %v", words, problems)
		}
	}
}

// newGCPAccount is the project of a sandbox of its own.
func newGCPAccount(t *testing.T, runner *clusterstest.Runner) gcptest.Account {
	t.Helper()
	at := sandboxtest.Start(t, sandbox.Config{Clusters: runner})
	return gcptest.Open(t, at.Providers["gcp"], at.Control, at.Credentials("gcp"))
}
