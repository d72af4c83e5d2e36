package azure_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/sandbox/world"
)

const pip = onNet + "/publicIPAddresses/pip"

const pipBody = `{` + location + `,"sku":{"name":"Standard"},"properties":{"publicIPAllocationMethod":"Static"}}`

func TestFaultsShowInAzuresWords(t *testing.T) {
	for _, c := range []struct {
		fault  world.Fault
		status int
		code   string
	}{
		{world.Fault{Fault: world.Throttle}, http.StatusTooManyRequests, "SubscriptionRequestsThrottled"},
		{world.Fault{Fault: world.ServerError}, http.StatusInternalServerError, "InternalServerError"},
		{world.Fault{Fault: world.ServerError, Status: 503}, http.StatusServiceUnavailable, "ServerTimeout"},
		{world.Fault{Fault: world.Denied}, http.StatusForbidden, "AuthorizationFailed"},
		{world.Fault{Fault: world.Quota}, http.StatusBadRequest, "PublicIPCountLimitReached"},
	} {
		s := open(t)
		s.ask(http.StatusCreated, http.MethodPut, rg, `{`+location+`}`)
		c.fault.Operation, c.fault.Match = "PublicIPAddresses_CreateOrUpdate", "pip"
		s.fault(c.fault)
		a := s.refused(c.status, c.code, http.MethodPut, pip, pipBody)
		if c.fault.Fault == world.Throttle && a.header.Get("Retry-After") == "" {
			t.Error("nothing says when to come back")
		}
		s.ask(http.StatusNotFound, http.MethodGet, pip, "")
		s.ready(pip, pipBody) // it happened once
	}
}

func TestAnswersAreLost(t *testing.T) {
	s := open(t)
	s.fault(world.Fault{Fault: world.Lost, Operation: "ResourceGroups_CreateOrUpdate"})
	if a, err := s.try(http.MethodPut, rg, `{`+location+`}`); err == nil {
		t.Errorf("the answer arrived: %v", a)
	}
	s.ask(http.StatusOK, http.MethodPut, rg, `{`+location+`}`) // it was done
	s.fault(world.Fault{Fault: world.LostBefore, Operation: "PublicIPAddresses_*"})
	if a, err := s.try(http.MethodPut, pip, pipBody); err == nil {
		t.Errorf("the answer arrived: %v", a)
	}
	s.ask(http.StatusNotFound, http.MethodGet, pip, "")
	s.checkLedger(false)
}

func TestThingsFailLateOrNever(t *testing.T) {
	s := open(t)
	s.network()
	s.fault(world.Fault{Fault: world.Late, Operation: "NatGateways_CreateOrUpdate"})
	begun := s.ask(http.StatusCreated, http.MethodPut, onNet+"/natGateways/late", `{`+location+`,"sku":{"name":"Standard"}}`)
	s.until("Failed", onNet+"/natGateways/late")
	status := begun.header.Get("Azure-AsyncOperation")
	if o := s.ask(http.StatusOK, http.MethodGet, status[strings.Index(status, "/subscriptions/"):], ""); o.at("status") != "Failed" || o.code() == "" {
		t.Errorf("the operation is %v", o.body)
	}
	s.ask(http.StatusOK, http.MethodPut, onNet+"/natGateways/late", `{`+location+`,"sku":{"name":"Standard"}}`)
	s.until("Succeeded", onNet+"/natGateways/late")

	s.fault(world.Fault{Fault: world.Late, Operation: "ManagedClusters_CreateOrUpdate", Match: "late"})
	s.fault(world.Fault{Fault: world.Stuck, Operation: "ManagedClusters_CreateOrUpdate", Match: "stuck"})
	begun = s.ask(http.StatusCreated, http.MethodPut, onAKS+"/late", clusterBody(poolProfile("nodes", 1)))
	s.ask(http.StatusCreated, http.MethodPut, onAKS+"/stuck", clusterBody(poolProfile("nodes", 1)))
	failed := s.until("Failed", onAKS+"/late")
	if pool := failed.body["properties"].(map[string]any)["agentPoolProfiles"].([]any)[0].(map[string]any); pool["provisioningState"] != "Failed" {
		t.Errorf("its pool is %v", pool)
	}
	status = begun.header.Get("Azure-AsyncOperation")
	if o := s.ask(http.StatusOK, http.MethodGet, status[strings.Index(status, "/subscriptions/"):], ""); o.at("status") != "Failed" || o.at("error", "message") == "" {
		t.Errorf("the operation is %v", o.body)
	}
	time.Sleep(500 * time.Millisecond)
	if a := s.ask(http.StatusOK, http.MethodGet, onAKS+"/stuck", ""); a.state() != "Creating" {
		t.Errorf("what is stuck is %s", a.state())
	}
	if n := len(s.runner.Running()); n != 0 {
		t.Errorf("%d real clusters run", n)
	}
	for _, name := range []string{"late", "stuck"} {
		s.ask(http.StatusAccepted, http.MethodDelete, onAKS+"/"+name, "")
		s.until("", onAKS+"/"+name)
	}
	s.checkLedger(false)
}

// TestBudgetsRunOut asks faster than the Resource Manager and the AKS provider take.
func TestBudgetsRunOut(t *testing.T) {
	s := openIn(t, t.TempDir(), 1, newConfig())
	s.ask(http.StatusCreated, http.MethodPut, rg, `{`+location+`}`)
	throttled := func(method, path, body string, tries int) (answer, int) {
		for i := range tries {
			a, err := s.try(method, path, body)
			must(t, err)
			if a.status == http.StatusTooManyRequests {
				return a, i
			}
		}
		t.Fatalf("%s %s is never throttled", method, path)
		return answer{}, 0
	}
	a, after := throttled(http.MethodPut, onAKS+"/eu", `{`+location+`}`, 30)
	if a.code() != "TooManyRequests" || a.header.Get("Retry-After") == "" || after != 20 {
		t.Errorf("after %d PUTs of a cluster: %v %v", after, a.body, a.header)
	}
	a, after = throttled(http.MethodGet, rg, "", 600)
	if a.code() != "SubscriptionRequestsThrottled" || a.header.Get("Retry-After") != "1" || after < 200 {
		t.Errorf("after %d reads: %v %v", after, a.body, a.header)
	}
	if got := a.header.Get("x-ms-ratelimit-remaining-subscription-reads"); got != "0" {
		t.Errorf("%q reads remain", got)
	}
	s.ask(http.StatusOK, http.MethodPut, rg, `{`+location+`}`) // writes have a budget of their own
}
