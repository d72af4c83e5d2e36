package digitalocean

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// counting answers from memory, and counts the lists of clusters.
type counting struct {
	lists  atomic.Int32
	status int
	slow   time.Duration
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body := http.StatusOK, `{"kubernetes_clusters":[{"id":"c","name":"m3o-micro-lon1","tags":["m3o:micro:lon1"],"status":{"state":"running"},
		"node_pools":[{"id":"p","name":"m3o-micro-lon1-nodes","count":1}]}]}`
	if r.URL.Path == "/v2/kubernetes/clusters" && r.Method == http.MethodGet {
		c.lists.Add(1)
		time.Sleep(c.slow)
	}
	if c.status != 0 {
		status, body = c.status, `{"id":"server_error","message":"Server was unable to give you a response."}`
	}
	return answer(r, status, body), nil
}

func polled(t *testing.T, c *counting) *Provider {
	t.Helper()
	p, err := New(Config{Token: "t", BaseURL: "https://cloud.example", Transport: c, Serve: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func clusterIn(name string, nodes int) region.ClusterSpec {
	spec := region.Spec{Platform: "micro", Name: name, Location: "lon1", Kubernetes: region.Kubernetes{Nodes: region.Nodes{Count: nodes}}}
	return spec.ClusterSpec(region.Net{})
}

// Regions that are on their way at once are polled four times a second each, and cost one list a second together.
func TestPollsShareOneListASecond(t *testing.T) {
	for name, c := range map[string]*counting{"answered": {}, "slowly answered": {slow: 300 * time.Millisecond}, "failing": {status: http.StatusInternalServerError}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := polled(t, c)
				var polls sync.WaitGroup
				for _, name := range []string{"lon1", "nyc3", "sgp1", "fra1", "ams3"} {
					polls.Go(func() {
						for range 40 {
							_, err := p.ours(t.Context(), clusterIn(name, 1))
							if want := name != "lon1" || c.status != 0; (err != nil) != want {
								t.Errorf("%s: %v", name, err)
							}
							time.Sleep(250 * time.Millisecond)
						}
					})
				}
				began := time.Now()
				polls.Wait()
				if seconds := int32(time.Since(began)/time.Second) + 1; c.lists.Load() > seconds || c.lists.Load() < seconds/3 {
					t.Errorf("%d lists in %d s", c.lists.Load(), seconds)
				}
			})
		})
	}
}

func TestWhatWeChangedIsSeenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counting{}
		p := polled(t, c)
		for range 3 {
			if _, err := p.ours(t.Context(), clusterIn("lon1", 1)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := p.EnsureCluster(t.Context(), clusterIn("lon1", 2), ""); err != nil || c.lists.Load() != 1 {
			t.Fatalf("%d lists before anything is changed, %v", c.lists.Load(), err)
		}
		if _, err := p.ours(t.Context(), clusterIn("lon1", 2)); err != nil || c.lists.Load() != 2 {
			t.Errorf("%d lists after the change, %v", c.lists.Load(), err)
		}
		c.status = http.StatusInternalServerError // its answer is lost: who knows what it did
		if _, err := p.DeleteCluster(t.Context(), clusterIn("lon1", 2), ""); !fault.Is(err, fault.Unavailable) {
			t.Fatal(err)
		}
		c.status = 0
		if _, err := p.ours(t.Context(), clusterIn("lon1", 2)); err != nil || c.lists.Load() != 3 {
			t.Errorf("%d lists after a change that may have been made, %v", c.lists.Load(), err)
		}
	})
}

// Who gives up takes nothing away from those who wait for the same list, and nobody changes what the others read.
func TestASharedListIsEverybodysOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counting{slow: time.Second}
		p := polled(t, c)
		hasty, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var waits sync.WaitGroup
		waits.Go(func() {
			if _, err := p.ours(hasty, clusterIn("lon1", 1)); err == nil {
				t.Error("it did not give up")
			}
		})
		synctest.Wait()
		for range 2 {
			waits.Go(func() {
				all, err := p.clusters(t.Context())
				if err != nil || len(all) != 1 || all[0].Pools[0].Count != 1 {
					t.Errorf("got %+v, %v", all, err)
					return
				}
				all[0].Pools[0].Count = 7
			})
		}
		waits.Wait()
		if c.lists.Load() != 1 {
			t.Errorf("%d lists", c.lists.Load())
		}
	})
}

func answer(r *http.Request, status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}
}
