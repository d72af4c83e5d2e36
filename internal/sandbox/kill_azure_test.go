package sandbox_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/m3o/platform/internal/sandbox"
)

// subscriber is a user of the Azure of a sandbox that is killed.
type subscriber struct {
	v    *victim
	web  *http.Client
	url  string
	keys struct {
		Tenant       string `json:"tenant_id"`
		Client       string `json:"client_id"`
		Secret       string `json:"client_secret"`
		Subscription string `json:"subscription_id"`
	}
}

func (v *victim) subscriber() *subscriber {
	v.t.Helper()
	data, err := os.ReadFile(sandbox.CredentialsFile(v.dir, "azure"))
	must(v.t, err)
	s := &subscriber{v: v, url: fmt.Sprintf("https://127.0.0.1:%d", sandbox.Ports(v.port)["azure"])}
	must(v.t, json.Unmarshal(data, &s.keys))
	authority, err := os.ReadFile(sandbox.AuthorityFile(v.dir))
	must(v.t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	v.t.Cleanup(transport.CloseIdleConnections)
	s.web = &http.Client{Transport: transport, Timeout: 10 * time.Second}
	return s
}

// send sends one request and reads the answer.
func (s *subscriber) send(request *http.Request) (int, map[string]any, error) {
	answer, err := s.web.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	body := map[string]any{}
	if err == nil && len(data) > 0 {
		err = json.Unmarshal(data, &body)
	}
	return answer.StatusCode, body, err
}

// ask asks the Resource Manager, as whoever logs in for that.
func (s *subscriber) ask(method, path, version, body string) (int, map[string]any, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {s.keys.Client}, "client_secret": {s.keys.Secret}, "scope": {"https://management.azure.com/.default"}}
	login, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.url+"/"+s.keys.Tenant+"/oauth2/v2.0/token", bytes.NewReader([]byte(form.Encode())))
	if err != nil {
		return 0, nil, err
	}
	login.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	_, token, err := s.send(login)
	if err != nil {
		return 0, nil, err
	}
	request, err := http.NewRequestWithContext(context.Background(), method, s.url+"/subscriptions/"+s.keys.Subscription+path+"?api-version="+version, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Authorization", fmt.Sprint("Bearer ", token["access_token"]))
	return s.send(request)
}

// reach repeats a request until the resource is in a state; "" is for its end.
func (s *subscriber) reach(state, path, version, method, body string) {
	insist(s.v, method+" "+path, func() (any, error) {
		status, got, err := s.ask(http.MethodGet, path, version, "")
		if err != nil {
			return nil, err
		}
		properties, _ := got["properties"].(map[string]any)
		switch have := properties["provisioningState"]; {
		case state == "" && status == http.StatusNotFound || state != "" && have == state:
			return nil, nil
		case status == http.StatusNotFound || state == "" && have != "Deleting":
			status, got, err = s.ask(method, path, version, body)
		}
		return nil, fmt.Errorf("not yet: %d %v %w", status, got["error"], err)
	})
}

// live makes a group with an address and a cluster, and removes all of it, whatever happens meanwhile.
func (s *subscriber) live(name string) {
	group := "/resourceGroups/" + name
	s.reach("Succeeded", group, "2021-04-01", http.MethodPut, `{"location":"uksouth"}`)
	s.reach("Succeeded", group+"/providers/Microsoft.Network/publicIPAddresses/pip", "2024-05-01", http.MethodPut,
		`{"location":"uksouth","sku":{"name":"Standard"},"properties":{"publicIPAllocationMethod":"Static"}}`)
	s.reach("Succeeded", group+"/providers/Microsoft.ContainerService/managedClusters/c", "2025-02-01", http.MethodPut,
		`{"location":"uksouth","identity":{"type":"SystemAssigned"},"properties":{"dnsPrefix":"c","agentPoolProfiles":[{"name":"main","count":1,"vmSize":"Standard_B2s","mode":"System"}]}}`)
	s.reach("", group, "2021-04-01", http.MethodDelete, "")
}

// TestKilledAzure kills the sandbox again and again while regions are made and removed in Azure: nothing is made twice or left over.
func TestKilledAzure(t *testing.T) {
	v := newVictim(t)
	s := v.subscriber()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var users sync.WaitGroup
	rounds := make([]int, 2)
	for i := range rounds {
		users.Go(func() {
			for ctx.Err() == nil {
				s.live(fmt.Sprintf("region-%d", i))
				rounds[i]++
			}
		})
	}
	for range kills / 2 {
		time.Sleep(time.Duration(50+rand.IntN(700)) * time.Millisecond)
		v.kill()
	}
	stop()
	users.Wait()
	t.Logf("%d kills while %v rounds of making and removing", kills/2, rounds)
	v.checkLedger()
	var state struct {
		Providers map[string]map[string][]struct{ ID string }
	}
	must(t, json.Unmarshal(v.ask(http.MethodGet, "/_sandbox/state", nil, http.StatusOK), &state))
	for kind, all := range state.Providers["azure"] {
		if kind != "operations/ended" && len(all) > 0 {
			t.Errorf("left over: %s %v", kind, all)
		}
	}
}
