package gcp

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/region"
)

// clusterWith is a cluster that runs, with the node pools of that JSON.
func clusterWith(t *testing.T, pools string, more map[string]string) *memory {
	m := &memory{t: t, answers: map[string]string{
		"GET /locations/europe-west1/clusters/m3o-micro-ew1": `{"id":"c1","name":"m3o-micro-ew1","status":"RUNNING","network":"m3o-micro-ew1","locations":["europe-west1-b","europe-west1-c","europe-west1-d"],
			"resourceLabels":{"managed-by":"m3o","m3o-platform":"micro","m3o-region":"ew1"},"currentMasterVersion":"1.34.1-gke.1","nodePools":[` + pools + `]}`,
	}}
	for key, body := range more {
		m.answers[key] = body
	}
	return m
}

// changes are the calls that change something.
func (m *memory) changes() []string {
	return slices.DeleteFunc(slices.Clone(m.calls), func(call string) bool { return strings.HasPrefix(call, http.MethodGet) })
}

const pools = "/locations/europe-west1/clusters/m3o-micro-ew1/nodePools"

// A pool that failed is told while it is news, and made anew for who asks later.
func TestAPoolThatFailedIsToldAndReplaced(t *testing.T) {
	const failed = `{"name":"nodes-b","locations":["europe-west1-b"],"status":"ERROR"}`
	operation := func(target string, ended time.Time) map[string]string {
		return map[string]string{
			"GET /locations/europe-west1/operations": fmt.Sprintf(`{"operations":[{"name":"operation-1","operationType":"CREATE_NODE_POOL","status":"DONE","endTime":%q,
				"targetLink":"https://x/projects/1/locations/europe-west1/clusters/%s","error":{"code":8,"message":"Insufficient quota 'CPUS'"}}]}`, ended.Format(time.RFC3339Nano), target),
			"DELETE " + pools + "/nodes-b": `{"name":"operation-2","operationType":"DELETE_NODE_POOL","status":"RUNNING"}`,
		}
	}
	for name, c := range map[string]struct {
		more   map[string]string
		broken bool
	}{
		"a moment ago":              {operation("m3o-micro-ew1/nodePools/nodes-b", time.Now()), true},
		"with its cluster":          {operation("m3o-micro-ew1", time.Now()), true},
		"long ago":                  {operation("m3o-micro-ew1/nodePools/nodes-b", time.Now().Add(-time.Hour)), false},
		"another cluster's failure": {operation("other/nodePools/nodes-b", time.Now()), false},
	} {
		m := clusterWith(t, failed, c.more)
		now, err := m.project().EnsureCluster(t.Context(), inEurope(1, "e2-standard-2", "1.34").ClusterSpec(region.Net{}), "")
		if err != nil || now.Ready || now.Broken != c.broken || c.broken != strings.Contains(now.Reason, "Insufficient quota 'CPUS'") {
			t.Errorf("%s: got %+v, %v", name, now, err)
		}
		if got := m.changes(); c.broken != (len(got) == 0) || !c.broken && now.Operation != "container/operation-2" {
			t.Errorf("%s: it changed %v, and goes on as %+v", name, got, now)
		}
	}
}

// A cluster changes one thing at a time, when nothing else is at work, and adds before it removes.
func TestOneThingIsChangedAtATime(t *testing.T) {
	pool := func(zone, status string) string {
		return fmt.Sprintf(`{"name":"nodes-%[1]s","locations":["europe-west1-%[1]s"],"status":%[2]q,"instanceGroupUrls":["https://x/zones/europe-west1-%[1]s/instanceGroupManagers/grp-%[1]s"]}`, zone, status)
	}
	groups := func(sizes map[string]int) map[string]string {
		all := map[string]string{}
		for zone, size := range sizes {
			all["GET zones/europe-west1-"+zone+"/instanceGroupManagers/grp-"+zone] = fmt.Sprintf(`{"targetSize":%[1]d,"currentActions":{"none":%[1]d}}`, size)
		}
		return all
	}
	two := pool("b", "RUNNING") + "," + pool("c", "RUNNING")
	for name, c := range map[string]struct {
		pools string
		sizes map[string]int
		count int
		want  string // the only change
	}{
		"as it should be":     {two, map[string]int{"b": 1, "c": 1}, 2, ""},
		"a zone more":         {two, map[string]int{"b": 1, "c": 1}, 3, "POST " + pools},
		"a zone less":         {two, map[string]int{"b": 1, "c": 1}, 1, "DELETE " + pools + "/nodes-c"},
		"more in a zone":      {two + "," + pool("d", "RUNNING"), map[string]int{"b": 1, "c": 1, "d": 1}, 4, "POST " + pools + "/nodes-b:setSize"},
		"one here, not there": {two, map[string]int{"b": 2, "c": 0}, 2, "POST " + pools + "/nodes-c:setSize"},
		"less in a zone":      {two, map[string]int{"b": 2, "c": 1}, 2, "POST " + pools + "/nodes-b:setSize"},
		"something at work":   {pool("b", "RUNNING") + "," + pool("c", "RECONCILING"), map[string]int{"b": 1, "c": 1}, 3, ""},
		"somebody's own pool": {two + `,{"name":"gpus","locations":["europe-west1-b"],"status":"RUNNING"}`, map[string]int{"b": 1, "c": 1}, 2, ""},
	} {
		m := clusterWith(t, c.pools, groups(c.sizes))
		now, err := m.project().EnsureCluster(t.Context(), inEurope(c.count, "e2-standard-2", "1.34").ClusterSpec(region.Net{}), "")
		if got := strings.Join(m.changes(), " "); got != c.want {
			t.Errorf("%s: it changed %q, want %q; %+v, %v", name, got, c.want, now, err)
		}
		if ready := c.want == "" && !strings.Contains(c.pools, "RECONCILING"); err == nil && now.Ready != ready {
			t.Errorf("%s: got %+v", name, now)
		}
	}
	stays := clusterWith(t, pool("b", "RUNNING_WITH_ERROR"), map[string]string{"GET zones/europe-west1-b/instanceGroupManagers/grp-b": `{"targetSize":1,"currentActions":{"creating":1}}`})
	waits, err := stays.project().EnsureCluster(t.Context(), inEurope(1, "e2-standard-2", "1.34").ClusterSpec(region.Net{}), "")
	if err != nil || waits.Ready || waits.Broken || !strings.Contains(waits.Reason, "0 of 1 nodes are running; node pool nodes-b is RUNNING_WITH_ERROR") {
		t.Errorf("a zone that has no machines left: %+v, %v", waits, err)
	}
}
