package activities

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.temporal.io/sdk/testsuite"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cloud/digitalocean"
	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

const kubeconfig = `{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],
	"clusters":[{"name":"c","cluster":{"server":"https://cluster.example"}}],"users":[{"name":"u","user":{"token":"secret"}}]}`

// cloudAccount is a DigitalOcean account whose calls are counted, and that answers with the status if there is one.
type cloudAccount struct {
	calls  atomic.Int32
	status atomic.Int32
}

func (a *cloudAccount) RoundTrip(r *http.Request) (*http.Response, error) {
	a.calls.Add(1)
	status, body := http.StatusOK, kubeconfig
	if strings.HasSuffix(r.URL.Path, "/clusters") {
		body = `{"kubernetes_clusters":[{"id":"c","name":"m3o-micro-lon1","tags":["m3o:micro:lon1"],"status":{"state":"running"}}]}`
	}
	if s := a.status.Load(); s != 0 {
		status, body = int(s), `{"id":"server_error","message":"out of order"}`
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}, Request: r}, nil
}

func (a *cloudAccount) provider(t *testing.T) *digitalocean.Provider {
	t.Helper()
	p, err := digitalocean.New(digitalocean.Config{Token: "t", BaseURL: "https://cloud.example", Transport: a, Serve: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// server is an API server that says what the test says.
type server struct {
	calls  atomic.Int32
	answer func(*http.Request) (int, string, error)
}

func (s *server) transport(http.RoundTripper) http.RoundTripper { return s }

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	s.calls.Add(1)
	status, body, err := s.answer(r)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{"Content-Type": {"application/json"}}, Request: r}, nil
}

func refusing(*http.Request) (int, string, error) {
	return 0, "", errors.New("dial tcp 10.0.0.1:443: connect: connection refused")
}

func listing(*http.Request) (int, string, error) {
	return http.StatusOK, `{"kind":"ServiceList","apiVersion":"v1","metadata":{},"items":[]}`, nil
}

func forbidding(*http.Request) (int, string, error) {
	return http.StatusForbidden, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"services is forbidden"}`, nil
}

var lon1 = region.Spec{Platform: "micro", Name: "lon1", Provider: region.DigitalOcean, Location: "lon1"}

// reads is a call that a cluster answers or refuses.
func reads(ctx context.Context) func(*cluster.Client) error {
	return func(client *cluster.Client) error {
		_, err := client.ServiceGone(ctx, release.Key{Project: "default", Name: "hello"})
		return err
	}
}

// A region whose API server does not answer is looked at four times a second by everything that waits for it. That must not use
// up what the cloud allows to all regions together.
func TestARefusingAPIServerCostsFewCloudCalls(t *testing.T) {
	for name, age := range map[string]time.Duration{"from the start": 0, "after five minutes": 5 * time.Minute, "after an hour": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, api := &cloudAccount{}, &server{answer: listing}
				c := &Connections{Cloud: a.provider(t), Transport: api.transport}
				for end := time.Now().Add(age); time.Now().Before(end); time.Sleep(5 * time.Second) {
					if err := c.Do(t.Context(), lon1, reads(t.Context())); err != nil {
						t.Fatal(err)
					}
				}
				before := a.calls.Load()
				api.answer = refusing
				watchFor(t, c, 60*time.Second)
				if calls := a.calls.Load() - before; calls > 10 || calls == 0 {
					t.Errorf("%d cloud calls in 60 s", calls)
				} else {
					t.Logf("%d cloud calls in 60 s of %d looks", calls, api.calls.Load())
				}
			})
		})
	}
}

// watchFor looks at the region as five watches do, which an API server that refuses never satisfies.
func watchFor(t *testing.T, c *Connections, d time.Duration) {
	t.Helper()
	var watches sync.WaitGroup
	for range 5 {
		watches.Go(func() {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(250 * time.Millisecond) {
				if err := c.Do(t.Context(), lon1, reads(t.Context())); !fault.Is(err, fault.Unavailable) {
					t.Errorf("a region that cannot be reached is %v", err)
				}
			}
		})
	}
	watches.Wait()
}

// Hours of it cost a call every few minutes.
func TestRenewalsBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, api := &cloudAccount{}, &server{answer: refusing}
		c := &Connections{Cloud: a.provider(t), Transport: api.transport}
		watchFor(t, c, time.Hour)
		if calls := a.calls.Load(); calls > 2*(6+6) {
			t.Errorf("%d cloud calls in an hour", calls)
		}
	})
}

func TestACloudThatRefusesCredentialsIsAskedEverMoreSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, api := &cloudAccount{}, &server{answer: listing}
		a.status.Store(http.StatusInternalServerError)
		c := &Connections{Cloud: a.provider(t), Transport: api.transport}
		watchFor(t, c, 60*time.Second)
		if calls := a.calls.Load(); calls > 10 || calls < 3 {
			t.Errorf("%d cloud calls in 60 s", calls)
		}
		a.status.Store(0)
		time.Sleep(lastRetry)
		if err := c.Do(t.Context(), lon1, reads(t.Context())); err != nil {
			t.Errorf("once it gives them: %v", err)
		}
	})
}

// clusters gives credentials that hold for so long, and counts.
type clusters struct {
	cloud.Clusters
	life   time.Duration
	slow   time.Duration
	given  atomic.Int32
	refuse atomic.Pointer[fault.Error]
}

func (c *clusters) Access(context.Context, region.ClusterSpec) (cloud.Access, error) {
	c.given.Add(1)
	time.Sleep(c.slow)
	if f := c.refuse.Load(); f != nil {
		return cloud.Access{}, f
	}
	return cloud.Access{Kubeconfig: []byte(kubeconfig), Expires: time.Now().Add(c.life)}, nil
}

func (c *clusters) DeleteCluster(context.Context, region.ClusterSpec, string) (region.Removal, error) {
	return region.Removal{Gone: true}, nil
}

func TestOneRenewalServesAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, api := &clusters{life: time.Hour, slow: time.Second}, &server{answer: listing}
		c := &Connections{Cloud: k, Transport: api.transport}
		hasty, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var waits sync.WaitGroup
		waits.Go(func() { // the first gives up, and takes nothing away from the others
			if err := c.Do(hasty, lon1, reads(hasty)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
		synctest.Wait()
		for range 20 {
			waits.Go(func() {
				if err := c.Do(t.Context(), lon1, reads(t.Context())); err != nil {
					t.Error(err)
				}
			})
		}
		waits.Wait()
		if k.given.Load() != 1 {
			t.Errorf("the cloud was asked %d times", k.given.Load())
		}
	})
}

// Credentials are renewed before they end, and while they are good nobody waits for that.
func TestCredentialsAreRenewedBeforeTheyEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, api := &clusters{life: 4 * time.Minute}, &server{answer: listing}
		c := &Connections{Cloud: k, Transport: api.transport}
		use := func(at string) {
			t.Helper()
			began := time.Now()
			if err := c.Do(t.Context(), lon1, reads(t.Context())); err != nil || time.Since(began) > 0 {
				t.Errorf("%s: after %s %v", at, time.Since(began), err)
			}
			synctest.Wait()
		}
		use("at first")
		time.Sleep(2 * time.Minute)
		use("after two minutes")
		if k.given.Load() != 1 {
			t.Errorf("after half of their life they were renewed %d times", k.given.Load()-1)
		}
		k.slow = 10 * time.Second
		time.Sleep(70 * time.Second)
		use("while they are renewed")
		time.Sleep(20 * time.Second)
		if k.given.Load() != 2 {
			t.Errorf("after three quarters of it, %d times", k.given.Load()-1)
		}
		k.refuse.Store(fault.New(fault.Unavailable, "out of order")) // they end while the cloud is down
		k.slow = 0
		for range 60 {
			time.Sleep(5 * time.Second)
			_ = c.Do(t.Context(), lon1, reads(t.Context()))
		}
		if err := c.Do(t.Context(), lon1, reads(t.Context())); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "out of order") {
			t.Errorf("after their end: %v", err)
		}
	})
}

// What a connection was refused that may be stale is asked again, over a new one; what a new one is refused is so.
func TestAStaleConnectionIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, api := &clusters{life: time.Hour}, &server{answer: listing}
		c := &Connections{Cloud: k, Transport: api.transport}
		do := func() error { return c.Do(t.Context(), lon1, reads(t.Context())) }
		if err := do(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		api.answer = forbidding
		if err := do(); !fault.Is(err, fault.Unavailable) {
			t.Errorf("over one of a minute ago: %v", err)
		}
		if err := do(); !fault.Is(err, fault.Denied) || k.given.Load() != 2 {
			t.Errorf("over a new one: %v, after %d renewals", err, k.given.Load()-1)
		}
		if err := do(); !fault.Is(err, fault.Denied) || k.given.Load() != 2 {
			t.Errorf("again: %v, after %d renewals", err, k.given.Load()-1)
		}
	})
}

// A cluster that this worker removed, and one that is made at once under its name, are two.
func TestARemovedClustersConnectionIsNotUsedForTheNext(t *testing.T) {
	k, api := &clusters{life: time.Hour}, &server{answer: listing}
	c := &Connections{Cloud: k, Transport: api.transport}
	for n := range int32(2) {
		if err := c.Do(t.Context(), lon1, reads(t.Context())); err != nil || k.given.Load() != n+1 {
			t.Errorf("cluster %d: %v, %d credentials", n+1, err, k.given.Load())
		}
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestActivityEnvironment()
		env.RegisterActivity(&Clusters{Cloud: k, Poll: time.Millisecond, Gone: c.Forget})
		if _, err := env.ExecuteActivity("DeleteCluster", lon1.ClusterSpec(region.Net{})); err != nil {
			t.Fatal(err)
		}
	}
}

func TestACallThatIsGivenUpCostsNoRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, api := &clusters{life: time.Hour}, &server{answer: listing}
		c := &Connections{Cloud: k, Transport: api.transport}
		if err := c.Do(t.Context(), lon1, reads(t.Context())); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		api.answer = func(*http.Request) (int, string, error) { cancel(); return 0, "", context.Canceled }
		if err := c.Do(ctx, lon1, reads(ctx)); err == nil {
			t.Error("it was not given up")
		}
		api.answer = listing
		if err := c.Do(t.Context(), lon1, reads(t.Context())); err != nil || k.given.Load() != 1 {
			t.Errorf("%v, after %d renewals", err, k.given.Load()-1)
		}
	})
}

func TestAClusterThatIsGoneIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, api := &clusters{life: time.Hour}, &server{answer: listing}
		c := &Connections{Cloud: k, Transport: api.transport}
		if err := c.Do(t.Context(), lon1, reads(t.Context())); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		api.answer = refusing
		k.refuse.Store(fault.New(fault.NotFound, "no such cluster"))
		_ = c.Do(t.Context(), lon1, reads(t.Context()))
		for range 3 {
			if err := c.Do(t.Context(), lon1, reads(t.Context())); !fault.Is(err, fault.NotFound) {
				t.Errorf("got %v", err)
			}
		}
		k.refuse.Store(nil) // made anew
		api.answer = listing
		if err := c.Do(t.Context(), lon1, reads(t.Context())); err != nil {
			t.Errorf("made anew: %v", err)
		}
	})
}

// hanging accepts a request and does not answer it.
func hanging(r *http.Request) (int, string, error) {
	<-r.Context().Done()
	return 0, "", r.Context().Err()
}

// An API server that accepts connections and does not answer makes its region degraded, and has its credentials renewed: its
// address may be another cluster's by now.
func TestARegionThatHangsIsFoundToHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, api := &clusters{life: time.Hour}, &server{answer: listing}
		c := &Connections{Cloud: k, Transport: api.transport}
		if err := c.Do(t.Context(), lon1, reads(t.Context())); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		api.answer = hanging
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestActivityEnvironment()
		env.RegisterActivity(&Parts{Connections: c})
		began := time.Now()
		value, err := env.ExecuteActivity("InspectParts", lon1)
		if err != nil {
			t.Fatal(err)
		}
		var found region.Inspection
		if err := value.Get(&found); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != InspectionLimit || found.Healthy || len(found.Problems) != 1 || found.Problems[0] != "the cluster does not answer within 15s" {
			t.Errorf("after %s it found %+v", took, found)
		}
		if err := c.Do(t.Context(), lon1, func(*cluster.Client) error { return nil }); err != nil || k.given.Load() != 2 {
			t.Errorf("credentials were asked for %d times, %v", k.given.Load(), err)
		}
	})
}
