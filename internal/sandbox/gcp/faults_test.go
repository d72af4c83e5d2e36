package gcp_test

//lint:file-ignore SA1019 Fields that are deprecated are still what stock clients send and read.

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/container/apiv1/containerpb"
	"google.golang.org/api/googleapi"

	"github.com/m3o/platform/internal/sandbox/gcp"
	"github.com/m3o/platform/internal/sandbox/world"
)

func TestFaultsSpeakTheServicesWords(t *testing.T) {
	p := newProject(t)
	insert := func() error { _, err := p.compute.Networks.Insert("m3o-sandbox", network("n")).Do(); return err }
	create := func() error { _, err := p.clusters.CreateCluster(p.ctx, clusterRequest("c", "n")); return err }
	for _, c := range []struct {
		fault         world.Fault
		do            func() error
		status        int
		reason, words string
	}{
		{world.Fault{Operation: "compute.networks.insert", Fault: world.Throttle}, insert, 403, "rateLimitExceeded", "Quota exceeded for quota metric"},
		{world.Fault{Operation: "container.projects.locations.clusters.create", Fault: world.Throttle}, create, 429, "rateLimitExceeded", "Quota exceeded for quota metric"},
		{world.Fault{Operation: "compute.networks.insert", Fault: world.Denied}, insert, 403, "forbidden", "Required 'compute.networks.create' permission"},
		{world.Fault{Operation: "container.*create", Fault: world.Denied}, create, 403, "forbidden", `Required "container.clusters.create" permission(s)`},
		{world.Fault{Operation: "compute.networks.insert", Fault: world.Quota}, insert, 403, "quotaExceeded", "Quota 'NETWORKS' exceeded.  Limit: 15.0 globally"},
		{world.Fault{Operation: "container.*", Match: "c", Fault: world.Quota}, create, 403, "forbidden", "Insufficient regional quota"},
		{world.Fault{Operation: "compute.*", Match: "n", Fault: world.ServerError}, insert, 500, "backendError", "Internal error"},
		{world.Fault{Operation: "compute.*", Fault: world.ServerError, Status: 503}, insert, 503, "backendError", "currently unavailable"},
	} {
		p.inject(c.fault)
		refused(t, c.do(), c.status, c.reason, c.words)
	}
	if left := p.balanced(); len(left) > 0 {
		t.Errorf("what failed made %v", left)
	}
}

func TestAnswersAreLost(t *testing.T) {
	p := newProject(t)
	p.inject(world.Fault{Operation: "compute.networks.insert", Fault: world.LostBefore})
	p.inject(world.Fault{Operation: "compute.networks.insert", Fault: world.Lost, After: 0})
	for _, want := range []int{0, 1} {
		_, err := p.compute.Networks.Insert("m3o-sandbox", network("n")).Do()
		var answer *googleapi.Error
		if err == nil || errors.As(err, &answer) {
			t.Fatalf("got %v, want a connection that was closed", err)
		}
		equal(t, "networks made", p.balanced()["network"], want)
	}
	p.inject(world.Fault{Operation: "compute.networks.get", Fault: world.Slow, Delay: "300ms"})
	begun := time.Now()
	_, err := p.compute.Networks.Get("m3o-sandbox", "n").Do()
	must(t, err)
	if took := time.Since(begun); took < 300*time.Millisecond {
		t.Errorf("it took %s", took)
	}
}

func TestNetworkFailsLate(t *testing.T) {
	p := newProject(t)
	p.inject(world.Fault{Operation: "compute.networks.insert", Fault: world.Late})
	o := p.ended(p.compute.Networks.Insert("m3o-sandbox", network("n")).Do())
	if o.Error == nil || len(o.Error.Errors) != 1 || o.Error.Errors[0].Code != "INTERNAL_ERROR" || o.HttpErrorStatusCode == 0 {
		t.Errorf("the operation ended as %+v", o)
	}
	_, err := p.compute.Networks.Get("m3o-sandbox", "n").Do()
	refused(t, err, http.StatusNotFound, "notFound", "was not found")
	p.done(p.compute.Networks.Insert("m3o-sandbox", network("n")).Do())
}

func TestClusterFailsLate(t *testing.T) {
	p := newProject(t)
	p.networks("c")
	p.account()
	p.inject(world.Fault{Operation: "container.projects.locations.clusters.create", Match: "c", Fault: world.Late})
	o := p.over(p.clusters.CreateCluster(p.ctx, clusterRequest("c", "c", poolRequest("b", 1))))
	if o.Error == nil || !strings.Contains(o.StatusMessage, "does not have enough resources") {
		t.Errorf("the operation ended as %+v", o)
	}
	failed := p.becomes("c", containerpb.Cluster_ERROR)
	if len(failed.Conditions) != 1 || failed.Conditions[0].Code != containerpb.StatusCondition_GCE_STOCKOUT || failed.NodePools[0].Status != containerpb.NodePool_ERROR {
		t.Errorf("the cluster is %+v", failed)
	}
	if running := p.runner.Running(); len(running) > 0 {
		t.Errorf("run are %v", running)
	}
	p.over(p.delete("c"))
	if left := p.balanced(); left["cluster"] != 0 || left["instance"] != 0 || left["firewall"] != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestStuckClusterIsCancelledAndDeleted(t *testing.T) {
	p := newProject(t)
	p.networks("c")
	p.account()
	p.inject(world.Fault{Operation: "container.projects.locations.clusters.create", Fault: world.Stuck})
	begun, err := p.clusters.CreateCluster(p.ctx, clusterRequest("c", "c", poolRequest("b", 1)))
	must(t, err)
	time.Sleep(500 * time.Millisecond)
	equal(t, "the state", p.becomes("c", containerpb.Cluster_PROVISIONING).StatusMessage, "")
	_, err = p.delete("c")
	refused(t, err, http.StatusBadRequest, "failedPrecondition", begun.Name)
	must(t, p.clusters.CancelOperation(p.ctx, &containerpb.CancelOperationRequest{Name: parent + "/operations/" + begun.Name}))
	if ended := p.over(begun, nil); ended.Error == nil || ended.Error.Code != 1 {
		t.Errorf("the operation ended as %+v", ended)
	}
	p.becomes("c", containerpb.Cluster_ERROR)
	p.inject(world.Fault{Operation: "container.projects.locations.clusters.delete", Fault: world.Stuck})
	_, err = p.delete("c")
	must(t, err)
	time.Sleep(300 * time.Millisecond)
	p.becomes("c", containerpb.Cluster_STOPPING)
	p.over(p.delete("c"))
	p.balanced()
}

func TestBudgetsAreUsedUp(t *testing.T) {
	p := open(t, t.TempDir(), 10, gcp.Config{}) // a minute takes ten
	for range 120 {
		status, _ := p.ask("POST", "/v1/projects/m3o-sandbox/services:batchEnable", `{"serviceIds":["x"]}`)
		equal(t, "status", status, http.StatusNotFound)
	}
	status, text := p.ask("POST", "/v1/projects/m3o-sandbox/services:batchEnable", `{"serviceIds":["x"]}`)
	if status != http.StatusTooManyRequests || !strings.Contains(text, "RATE_LIMIT_EXCEEDED") || !strings.Contains(text, "RESOURCE_EXHAUSTED") {
		t.Errorf("%d: %s", status, text)
	}
	for i := range 1501 {
		status, text = p.ask("GET", "/compute/v1/projects/m3o-sandbox/global/networks/x", "")
		if want := http.StatusNotFound; i < 1500 && status != want {
			t.Fatalf("request %d: %d: %s", i, status, text)
		}
	}
	if status != http.StatusForbidden || !strings.Contains(text, `"reason": "rateLimitExceeded"`) || !strings.Contains(text, "usageLimits") {
		t.Errorf("%d: %s", status, text)
	}
	if status, text := p.ask("GET", "/compute/v1/projects/m3o-sandbox/regions/"+place+"/routers/x", ""); status != http.StatusNotFound {
		t.Errorf("another place has a budget of its own: %d: %s", status, text)
	}
}
