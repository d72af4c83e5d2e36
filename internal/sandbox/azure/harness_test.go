package azure_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/m3o/platform/internal/sandbox/azure"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
	"github.com/m3o/platform/internal/sandbox/world"
)

const (
	tenant       = "11111111-2222-4333-8444-555555555555"
	subscription = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
	client       = "99999999-8888-4777-8666-555555555555"
	object       = "12121212-3434-4565-8787-909090909090"
	secret       = "the secret of the test"
	inSub        = "/subscriptions/" + subscription
)

var signingKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// sandbox is a subscription, and what it takes to use it.
type sandbox struct {
	t      *testing.T
	cloud  *azure.Cloud
	world  *world.World
	runner *clusterstest.Runner
	url    string
	web    *http.Client
	token  string
	stop   func()
}

// open starts a subscription in which five minutes take 300 ms.
func open(t *testing.T) *sandbox { return openIn(t, t.TempDir(), 0.001, azure.Config{}) }

func with(t *testing.T, config azure.Config) *sandbox { return openIn(t, t.TempDir(), 0.001, config) }

// openIn starts one on a directory, which may hold the state of another.
func openIn(t *testing.T, dir string, scale float64, config azure.Config) *sandbox {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w, err := world.Open(dir, world.Clock{Scale: scale})
	must(t, err)
	runner := clusterstest.New(8)
	config.World, config.Runner, config.Logger = w, runner, slog.New(slog.DiscardHandler)
	config.Versions = []string{"1.37", "1.36", "1.35", "1.34"}
	config.Account = azure.Account{Tenant: tenant, Subscription: subscription, Client: client, Secret: secret, Object: object, Key: signingKey()}
	made, err := azure.New(config)
	must(t, err)
	server := httptest.NewTLSServer(made)
	stopped := make(chan error, 1)
	go func() { stopped <- made.Run(ctx) }()
	s := &sandbox{t: t, cloud: made, world: w, runner: runner, url: server.URL, web: server.Client()}
	s.stop = sync.OnceFunc(func() {
		cancel()
		must(t, <-stopped)
		server.Close()
		must(t, w.Close())
	})
	t.Cleanup(s.stop)
	s.token = s.login("https://management.core.windows.net//.default")
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func made[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		must(t, err)
		return v
	}
}

func ptr[T any](v T) *T { return &v }

// credential is the official SDK's.
func (s *sandbox) credential() azcore.TokenCredential {
	s.t.Helper()
	credential, err := azidentity.NewClientSecretCredential(tenant, client, secret,
		&azidentity.ClientSecretCredentialOptions{ClientOptions: s.options(), DisableInstanceDiscovery: true})
	must(s.t, err)
	return credential
}

func (s *sandbox) options() policy.ClientOptions {
	return policy.ClientOptions{Transport: s.web, Retry: policy.RetryOptions{MaxRetries: -1}, Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: s.url + "/",
		Services: map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: s.url, Audience: "https://management.core.windows.net/"}}}}
}

func (s *sandbox) arm() *arm.ClientOptions {
	return &arm.ClientOptions{ClientOptions: s.options(), DisableRPRegistration: true}
}

// login gets a token for a scope.
func (s *sandbox) login(scope string) string {
	s.t.Helper()
	form := strings.NewReader("grant_type=client_credentials&client_id=" + client + "&client_secret=" + strings.ReplaceAll(secret, " ", "+") + "&scope=" + scope)
	answer, err := s.web.Post(s.url+"/"+tenant+"/oauth2/v2.0/token", "application/x-www-form-urlencoded", form)
	must(s.t, err)
	defer answer.Body.Close()
	var body struct {
		Token string `json:"access_token"`
	}
	must(s.t, json.NewDecoder(answer.Body).Decode(&body))
	if answer.StatusCode != http.StatusOK || body.Token == "" {
		s.t.Fatalf("login for %s: %s", scope, answer.Status)
	}
	return body.Token
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   map[string]any
}

func (a answer) code() string { return a.at("error", "code") }

// at is the text at a path in the body.
func (a answer) at(path ...string) string {
	var value any = a.body
	for _, key := range path {
		object, _ := value.(map[string]any)
		value = object[key]
	}
	if value == nil {
		return ""
	}
	return fmt.Sprint(value)
}

func (a answer) state() string { return a.at("properties", "provisioningState") }

// versions are those of the APIs that the tests speak.
var versions = map[string]string{"microsoft.network": "2024-05-01", "microsoft.containerservice": "2025-02-01", "microsoft.managedidentity": "2024-11-30",
	"microsoft.authorization": "2022-04-01", "microsoft.compute": "2024-07-01"}

func versionOf(path string) string {
	at := strings.LastIndex(strings.ToLower(path), "/providers/")
	if at < 0 {
		return "2021-04-01"
	}
	namespace, _, _ := strings.Cut(strings.ToLower(path[at+len("/providers/"):]), "/")
	if v := versions[namespace]; v != "" {
		return v
	}
	return "2021-04-01"
}

// try sends a request as it is, and reports an answer that was lost.
func (s *sandbox) try(method, path, body string, headers ...string) (answer, error) {
	if !strings.Contains(path, "api-version=") {
		joint := "?"
		if strings.Contains(path, "?") {
			joint = "&"
		}
		path += joint + "api-version=" + versionOf(strings.SplitN(path, "?", 2)[0])
	}
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, bytes.NewReader([]byte(body)))
	must(s.t, err)
	request.Header.Set("Authorization", "Bearer "+s.token)
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	got, err := s.web.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer got.Body.Close()
	data, err := io.ReadAll(got.Body)
	must(s.t, err)
	a := answer{status: got.StatusCode, header: got.Header}
	if len(data) > 0 {
		must(s.t, json.Unmarshal(data, &a.body))
	}
	return a, nil
}

// ask sends a request and wants an answer of that status.
func (s *sandbox) ask(want int, method, path, body string, headers ...string) answer {
	s.t.Helper()
	a, err := s.try(method, path, body, headers...)
	must(s.t, err)
	if a.status != want {
		s.t.Fatalf("%s %s answers %d %v, want %d", method, path, a.status, a.body, want)
	}
	return a
}

// refused sends a request and wants it refused with that code.
func (s *sandbox) refused(status int, code, method, path, body string, headers ...string) answer {
	s.t.Helper()
	a := s.ask(status, method, path, body, headers...)
	if a.code() != code {
		s.t.Errorf("%s %s is refused with %q (%s), want %q", method, path, a.code(), a.at("error", "message"), code)
	}
	return a
}

// until waits for a state of a resource; "" is for its end.
func (s *sandbox) until(state, path string) answer {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		a, err := s.try(http.MethodGet, path, "")
		must(s.t, err)
		if state == "" && a.status == http.StatusNotFound || state != "" && a.status == http.StatusOK && a.state() == state {
			return a
		}
	}
	a, err := s.try(http.MethodGet, path, "")
	s.t.Fatalf("%s does not become %q: %v %v", path, state, a, err)
	return answer{}
}

// ready makes a resource and waits until it is.
func (s *sandbox) ready(path, body string) answer {
	s.t.Helper()
	a, err := s.try(http.MethodPut, path, body)
	must(s.t, err)
	if a.status != http.StatusCreated && a.status != http.StatusOK && a.status != http.StatusAccepted {
		s.t.Fatalf("PUT %s: %d %v", path, a.status, a.body)
	}
	return s.until("Succeeded", path)
}

// eventually repeats a request while it is refused with that code.
func (s *sandbox) eventually(code, method, path, body string) answer {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		a, err := s.try(method, path, body)
		must(s.t, err)
		if a.status < 300 || a.code() != code || time.Now().After(deadline) {
			if a.status >= 300 {
				s.t.Fatalf("%s %s: %d %v", method, path, a.status, a.body)
			}
			return a
		}
	}
}

func (s *sandbox) fault(f world.Fault) {
	s.t.Helper()
	f.Provider = azure.Name
	must(s.t, f.Validate(s.cloud.Operations(), world.OfClouds))
	must(s.t, s.world.Update(s.t.Context(), func(tx *world.Tx) error {
		_, err := tx.AddFault(f)
		return err
	}))
}

// checkLedger checks that everything was created once; and, when all is to be gone, deleted once.
func (s *sandbox) checkLedger(gone bool) {
	s.t.Helper()
	effects, err := s.world.Effects(s.t.Context(), 0)
	must(s.t, err)
	created, deleted := map[string]int{}, map[string]int{}
	for _, e := range effects {
		switch e.Kind {
		case world.Created:
			created[e.Resource+" "+e.ID+" "+e.Name]++
		case world.Deleted:
			deleted[e.Resource+" "+e.ID+" "+e.Name]++
		}
	}
	for id, n := range created {
		if n != 1 || deleted[id] > 1 || gone && deleted[id] != 1 {
			s.t.Errorf("%s was created %d times and deleted %d times", id, n, deleted[id])
		}
	}
	if len(created) == 0 || gone && len(deleted) != len(created) {
		s.t.Errorf("%d things were created, %d deleted", len(created), len(deleted))
	}
}

const (
	location = `"location":"westeurope"`
	rg       = inSub + "/resourceGroups/rg"
	onNet    = rg + "/providers/Microsoft.Network"
	onID     = rg + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
	onAKS    = rg + "/providers/Microsoft.ContainerService/managedClusters"
)

// network makes a resource group with an address, a NAT gateway and a network of one subnet.
func (s *sandbox) network() {
	s.t.Helper()
	s.ask(http.StatusCreated, http.MethodPut, rg, `{`+location+`,"tags":{"m3o-owner":"m3o:micro:eu"}}`)
	s.ready(onNet+"/publicIPAddresses/pip", `{`+location+`,"sku":{"name":"Standard"},"properties":{"publicIPAllocationMethod":"Static"}}`)
	s.ready(onNet+"/natGateways/nat", `{`+location+`,"sku":{"name":"Standard"},"properties":{"publicIpAddresses":[{"id":"`+onNet+`/publicIPAddresses/pip"}]}}`)
	s.ready(onNet+"/virtualNetworks/vnet", vnetBody)
}

const (
	vnetBody = `{` + location + `,"properties":{"addressSpace":{"addressPrefixes":["10.20.0.0/16"]},"subnets":[{"name":"nodes","properties":{"addressPrefix":"10.20.0.0/17","natGateway":{"id":"` +
		onNet + `/natGateways/nat"}}}]}}`
	subnet = onNet + "/virtualNetworks/vnet/subnets/nodes"
)

func poolProfile(name string, count int) string {
	return fmt.Sprintf(`{"name":%q,"count":%d,"vmSize":"Standard_D2s_v5","mode":"System","vnetSubnetID":%q,"availabilityZones":["1","2","3"]}`, name, count, subnet)
}

func clusterBody(pools ...string) string {
	return `{` + location + `,"identity":{"type":"SystemAssigned"},"tags":{"managed-by":"m3o"},"properties":{"kubernetesVersion":"1.34","dnsPrefix":"eu","aadProfile":{"managed":true,"enableAzureRBAC":true},` +
		`"networkProfile":{"networkPlugin":"azure","outboundType":"userAssignedNATGateway"},"agentPoolProfiles":[` + strings.Join(pools, ",") + `]}}`
}

// cluster makes a network with a cluster of two nodes, and waits until that is ready.
func (s *sandbox) cluster() answer {
	s.t.Helper()
	s.network()
	return s.ready(onAKS+"/eu", clusterBody(poolProfile("nodes", 2)))
}

// codeOf is the code of the SDK's error.
func codeOf(err error) string {
	var refused *azcore.ResponseError
	if errors.As(err, &refused) {
		return refused.ErrorCode
	}
	return ""
}

func newConfig() azure.Config { return azure.Config{} }

// text is a value as JSON.
func text(t *testing.T, value any) string {
	t.Helper()
	data, err := json.Marshal(value)
	must(t, err)
	return string(data)
}
