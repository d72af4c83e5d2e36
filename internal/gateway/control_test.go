package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

// endpoints are the addresses of release 1 that the gateway knows.
func (w *world) endpoints(key release.Key) []string {
	return addresses(w.check(key, 1, ""))
}

func addresses(c releaseCheck) []string {
	var all []string
	for _, e := range c.Endpoints {
		all = append(all, e.Address)
	}
	return all
}

func (w *world) check(key release.Key, number int, query string) releaseCheck {
	w.t.Helper()
	got := w.get(fmt.Sprintf("/-/release/%s/%s/%d?%s", key.Project, key.Name, number, query), w.ticket(key.Project, "releases:read"))
	var c releaseCheck
	if err := json.Unmarshal([]byte(got.body), &c); err != nil || got.status != http.StatusOK {
		w.t.Fatalf("got %+v, %v", got, err)
	}
	return c
}

func TestReleaseIsCheckedEndpointByEndpoint(t *testing.T) {
	w := newWorld(t, nil)
	w.service(greet, release.ByKey)
	health := func(status int) *httptest.Server {
		return program(t, func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/health" {
				rw.WriteHeader(status)
			}
		})
	}
	w.run(greet, 1, address(health(http.StatusInternalServerError)), nil)
	two := w.run(greet, 2, address(health(http.StatusNoContent)), nil)
	w.awaitReady()

	if c := w.check(greet, 2, "health=/health"); !c.Ready || c.Release != 2 || len(c.Endpoints) != 1 || !c.Endpoints[0].OK || c.Endpoints[0].Instance != two.name {
		t.Errorf("a healthy release: %+v", c)
	}
	if c := w.check(greet, 1, "health=/health"); c.Ready || len(c.Endpoints) != 1 || c.Endpoints[0].OK || !strings.Contains(c.Endpoints[0].Error, "500") {
		t.Errorf("an unhealthy release: %+v", c)
	}
	if c := w.check(greet, 1, ""); !c.Ready {
		t.Errorf("a connection is enough without a health path: %+v", c)
	}
	if c := w.check(greet, 2, "health=/health&replicas=2"); c.Ready {
		t.Errorf("one of two is ready: %+v", c)
	}
	if c := w.check(greet, 3, ""); c.Ready || len(c.Endpoints) != 0 {
		t.Errorf("a release that is not there: %+v", c)
	}
	two.unready()
	w.eventually("an unready endpoint is not counted", func() bool { return !w.check(greet, 2, "").Ready })
}

func TestControlRoutesAskForTheirTicket(t *testing.T) {
	w := newWorld(t, nil)
	w.service(greet, release.Public)
	w.awaitReady()
	for _, c := range []struct {
		method, path, token string
		want                int
	}{
		{"GET", "/-/release/default/hello/1", "", 401},
		{"GET", "/-/release/default/hello/1", "abc", 401},
		{"GET", "/-/release/default/hello/1", w.ticket("default", "call:default/hello"), 403},
		{"GET", "/-/release/default/hello/1", w.ticket("shop", "releases:read"), 403},
		{"GET", "/-/release/default/hello/1", w.ticket("", "releases:read"), 200},
		{"GET", "/-/release/default/hello/x", w.ticket("default", "releases:read"), 400},
		{"GET", "/-/release/default/hello/1?replicas=1000", w.ticket("default", "releases:read"), 400},
		{"GET", "/-/release/default/hello/1?health=x", w.ticket("default", "releases:read"), 400},
		{"GET", "/-/release/default/Hello/1", w.ticket("default", "releases:read"), 400},
		{"POST", "/-/release/default/hello/1", w.ticket("default", "releases:read"), 405},
		{"GET", "/-/logs/default/hello", "", 401},
		{"GET", "/-/logs/default/hello", w.ticket("default", "logs:default/other"), 403},
		{"GET", "/-/logs/default/hello", w.ticket("default", "logs:default/*"), 200},
		{"GET", "/-/logs/default/nope", w.ticket("default", "logs:default/*"), 404},
		{"GET", "/-/logs/default/hello?tail=x", w.ticket("default", "logs:default/*"), 400},
		{"GET", "/-/logs/default/hello?since=yesterday", w.ticket("default", "logs:default/*"), 400},
		{"GET", "/-/nope", "", 404},
		{"DELETE", "/-/healthz", "", 405},
	} {
		r, _ := http.NewRequest(c.method, w.url+c.path, nil)
		got := w.do(r, c.token)
		if got.status != c.want || got.header.Get("X-Request-Id") == "" {
			t.Errorf("%s %s: got %+v, want %d", c.method, c.path, got, c.want)
		}
		if c.want >= 400 && got.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: answered with %s", c.method, c.path, got.header.Get("Content-Type"))
		}
	}
}

// kubelets serve the logs of pods as the API server does: lines with times, and following until the container ends.
type kubelets struct {
	mu    sync.Mutex
	lines map[string][]string
	ended map[string]bool
	cut   map[string]int // cut the connection after so many lines, once
	asked []url.Values
}

func (k *kubelets) write(pod string, at time.Time, words string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lines[pod] = append(k.lines[pod], at.Format(time.RFC3339Nano)+" "+words)
}

func (k *kubelets) end(pod string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended[pod] = true
}

// from are the lines after n, whether there will be more, and whether to hang up.
func (k *kubelets) from(pod string, n int) (lines []string, more, hangUp bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	lines = k.lines[pod][min(n, len(k.lines[pod])):]
	if at, ok := k.cut[pod]; ok && n+len(lines) >= at {
		delete(k.cut, pod)
		hangUp = true
	}
	return lines, !k.ended[pod], hangUp
}

func (k *kubelets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	pod, query := r.PathValue("pod"), r.URL.Query()
	k.mu.Lock()
	k.asked = append(k.asked, query)
	k.mu.Unlock()
	since, _ := time.Parse(time.RFC3339, query.Get("sinceTime"))
	for n := 0; ; {
		lines, more, hangUp := k.from(pod, n)
		n += len(lines)
		for _, line := range lines {
			at, _, _ := strings.Cut(line, " ")
			if t, _ := time.Parse(time.RFC3339Nano, at); !t.Before(since) {
				fmt.Fprintln(w, line)
			}
		}
		_ = http.NewResponseController(w).Flush()
		if query.Get("follow") != "true" || !more || hangUp {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// withLogs is the fake cluster, but for the logs of its pods, which come over HTTP through the real client.
type withLogs struct {
	*fake.Clientset
	logs corev1client.CoreV1Interface
}

type coreWithLogs struct {
	corev1client.CoreV1Interface
	logs corev1client.CoreV1Interface
}

type podsWithLogs struct {
	corev1client.PodInterface
	logs corev1client.PodInterface
}

func (c withLogs) CoreV1() corev1client.CoreV1Interface {
	return coreWithLogs{c.Clientset.CoreV1(), c.logs}
}

func (c coreWithLogs) Pods(namespace string) corev1client.PodInterface {
	return podsWithLogs{c.CoreV1Interface.Pods(namespace), c.logs.Pods(namespace)}
}

func (p podsWithLogs) GetLogs(name string, options *corev1.PodLogOptions) *rest.Request {
	return p.logs.GetLogs(name, options)
}

func newLogWorld(t *testing.T) (*world, *kubelets) {
	t.Helper()
	k := &kubelets{lines: map[string][]string{}, ended: map[string]bool{}, cut: map[string]int{}}
	mux := http.NewServeMux()
	mux.Handle("GET /api/v1/namespaces/project-default/pods/{pod}/log", k)
	api := httptest.NewServer(mux)
	t.Cleanup(api.Close)
	real, err := kubernetes.NewForConfig(&rest.Config{Host: api.URL})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *Config) { c.Kubernetes = withLogs{c.Kubernetes.(*fake.Clientset), real.CoreV1()} })
	w.service(greet, release.Public)
	w.awaitReady()
	return w, k
}

// logPod makes a pod that writes logs and answers nothing.
func (w *world) logPod(name string, number int) {
	w.t.Helper()
	object := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: greet.Namespace(), UID: types.UID(name),
		Labels: map[string]string{release.LabelProject: "default", release.LabelService: "hello", release.LabelRelease: fmt.Sprint(number)}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "hello"}}}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	if _, err := w.cluster.CoreV1().Pods(greet.Namespace()).Create(w.t.Context(), object, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

var logStart = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func (w *world) logs(query string) []string {
	w.t.Helper()
	got := w.get("/-/logs/default/hello?"+query, w.ticket("default", "logs:default/hello"))
	if got.status != http.StatusOK || got.header.Get("Content-Type") != "application/x-ndjson" {
		w.t.Fatalf("got %+v", got)
	}
	var all []string
	for line := range strings.Lines(got.body) {
		all = append(all, readLine(w.t, line))
	}
	return all
}

func readLine(t testing.TB, line string) string {
	t.Helper()
	var l struct {
		Time     time.Time
		Instance string
		Release  int
		Line     string
	}
	if err := json.Unmarshal([]byte(line), &l); err != nil || l.Time.IsZero() {
		t.Fatalf("%q: %v", line, err)
	}
	return fmt.Sprintf("%s/%d %s", l.Instance, l.Release, l.Line)
}

func TestLogsOfAllInstancesComeInOrder(t *testing.T) {
	w, k := newLogWorld(t)
	w.logPod("a", 1)
	w.logPod("b", 2)
	for i, words := range []string{"a one", "b two", "b three", "a four"} {
		k.write(words[:1], logStart.Add(time.Duration(i)*time.Millisecond), words)
	}
	k.write("b", logStart.Add(time.Second), strings.Repeat("x", 100<<10))
	all := []string{"a/1 a one", "b/2 b two", "b/2 b three", "a/1 a four"}
	w.eventually("the pods are known", func() bool { return len(w.logs("")) == 5 })
	got := w.logs("")
	if !slices.Equal(got[:4], all) || len(got[4]) > 70<<10 || !strings.HasSuffix(got[4], "…") {
		t.Errorf("got %.300q", got)
	}
	if got := w.logs("release=1"); !slices.Equal(got, []string{all[0], all[3]}) {
		t.Errorf("of one release: %q", got)
	}
	if got := w.logs("instance=b"); len(got) != 3 {
		t.Errorf("of one instance: %.300q", got)
	}
	if got := w.logs("since=" + url.QueryEscape(logStart.Add(2*time.Millisecond).Format(time.RFC3339Nano))); !slices.Equal(got[:2], all[2:]) || len(got) != 3 {
		t.Errorf("since a moment: %.300q", got)
	}
	w.logs("tail=7")
	if last := k.asked[len(k.asked)-1]; last.Get("tailLines") != "7" || last.Get("timestamps") != "true" {
		t.Errorf("the API was asked for %v", last)
	}
}

func TestLogsAreFollowedThroughBreaksAndNewPods(t *testing.T) {
	w, k := newLogWorld(t)
	w.logPod("a", 1)
	k.write("a", logStart, "0")
	k.cut["a"] = 4
	w.eventually("the pod is known", func() bool { return len(w.logs("")) == 1 })

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/-/logs/default/hello?follow", nil)
	r.Header.Set("Authorization", "Bearer "+w.ticket("default", "logs:default/hello"))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	expect := func(want string) {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("the stream ended before %q: %v", want, lines.Err())
		}
		if got := readLine(t, lines.Text()); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	expect("a/1 0")
	for i := 1; i < 8; i++ { // the connection breaks on the way; all within one second, which is all that the API can tell apart
		k.write("a", logStart.Add(time.Duration(i)*time.Millisecond), fmt.Sprint(i))
		expect(fmt.Sprint("a/1 ", i))
	}
	w.logPod("b", 2)
	k.write("b", logStart.Add(time.Second), "hello")
	expect("b/2 hello")
	k.end("a")
	k.write("b", logStart.Add(2*time.Second), "still here")
	expect("b/2 still here")
	go func() { _ = w.stop() }()
	if lines.Scan() {
		t.Errorf("after the end: %s", lines.Text())
	}
}

// TestOneProjectDoesNotTakeAllLogStreams: another's logs can be read however many a project reads.
func TestOneProjectDoesNotTakeAllLogStreams(t *testing.T) {
	w, _ := newLogWorld(t)
	w.logPod("a", 1)
	token := w.ticket("default", "logs:default/hello")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	follow := func() *http.Response {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/-/logs/default/hello?follow", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	w.eventually("the pod is known", func() bool { return w.get("/-/logs/default/hello", token).status == http.StatusOK })
	for i := range maxProjectStreams {
		if resp := follow(); resp.StatusCode != http.StatusOK {
			t.Fatalf("stream %d: %s", i+1, resp.Status)
		}
	}
	got := w.get("/-/logs/default/hello", token)
	if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") != "5" || !strings.Contains(got.body, `16 logs of the project \"default\" are being read`) {
		t.Errorf("one more: %+v", got)
	}
	// Another project's are not there, which is another answer.
	other := release.Key{Project: "blue", Name: "hello"}
	w.service(other, release.Public)
	w.run(other, 1, address(hello(t, "blue")), public)
	w.eventually("another project's can be read", func() bool {
		return w.get("/-/logs/blue/hello?tail=0", w.ticket("blue", "logs:blue/hello")).status != http.StatusTooManyRequests &&
			w.get("/-/logs/blue/hello?tail=0", w.ticket("blue", "logs:blue/hello")).status != http.StatusNotFound
	})
	cancel()
	w.eventually("its own can be read again", func() bool { return w.get("/-/logs/default/hello", token).status == http.StatusOK })
}

// TestLogStreamsAreSharedFairly counts what every project gets when all want as many as they can have.
func TestLogStreamsAreSharedFairly(t *testing.T) {
	var s seats
	greedy := map[string]int{}
	for _, project := range []string{"a", "b", "c", "d", "e"} {
		for s.take(project) == nil {
			greedy[project]++
		}
	}
	if greedy["a"] != 16 || greedy["b"] != 16 || greedy["c"] != 16 || greedy["d"] != 2 || greedy["e"] != 2 {
		t.Errorf("those who take what they get have %v", greedy)
	}
	if p := s.take("d"); p == nil || p.Status != http.StatusTooManyRequests || !strings.Contains(p.Detail, "2 of them of the project \"d\"") {
		t.Errorf("a third one: %+v", p)
	}
	total := 52
	for i := 0; s.take(fmt.Sprint("late", i)) == nil; i++ {
		total++
	}
	if p := s.take("later"); total != maxLogStreams || p == nil || p.Status != http.StatusServiceUnavailable {
		t.Errorf("%d in all, and then %+v", total, p)
	}
	for project, n := range greedy {
		for range n {
			s.leave(project)
		}
	}
	if p := s.take("later"); p != nil || len(s.taken) != 13 || s.total != 13 {
		t.Errorf("after they left: %+v, %v", p, s.taken)
	}
}

func TestKeysAreReadAgain(t *testing.T) {
	w := newWorld(t, nil)
	w.service(greet, release.ByKey)
	w.run(greet, 1, address(hello(t, "hi")), nil)
	w.awaitReady()
	old := w.ticket("default", "call:default/hello")
	if got := w.get("/hello/", old); got.status != http.StatusOK {
		t.Fatalf("got %+v", got)
	}
	w.rotate()
	w.eventually("the new key is good", func() bool {
		return w.get("/hello/", w.ticket("default", "call:default/hello")).status == http.StatusOK
	})
	if got := w.get("/hello/", old); got.status != http.StatusUnauthorized {
		t.Errorf("a ticket of a key that was withdrawn: %+v", got)
	}
}

func TestControlRoutesSayWhatIsWrongWithAQuery(t *testing.T) {
	_, check := checkQuery("x", url.Values{"replicas": {"51"}, "health": {"healthz"}})
	_, logs := logQuery(url.Values{"follow": {"maybe"}, "since": {"yesterday"}, "tail": {"-1"}, "release": {"0"}, "instance": {strings.Repeat("a", 254)}}, time.Now())
	for _, c := range []struct {
		err   error
		words []string
	}{
		{check, []string{`release: "x" is not`, `replicas: "51" is not a number between 1 and 50`, `health: "healthz" is not a path`}},
		{logs, []string{`follow: "maybe" is neither`, `since: "yesterday" is neither`, `tail: "-1" is not`, `release: "0" is not`, "instance: 254 bytes"}},
	} {
		for _, words := range c.words {
			if !fault.Is(c.err, fault.Invalid) || !strings.Contains(c.err.Error(), words) {
				t.Errorf("%v does not say %s", c.err, words)
			}
		}
	}
}

func FuzzLogQuery(f *testing.F) {
	for _, query := range []string{"", "follow&tail=10&release=3&instance=a-1", "follow=maybe", "since=10m", "since=2026-01-02T15:04:05Z", "since=-1s",
		"since=2562047h47m16.854775807s", "tail=-1", "tail=99999999999999999999", "release=0", "instance=%00", "tail=1;tail=2"} {
		f.Add(query)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	f.Fuzz(func(t *testing.T, raw string) {
		values, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		q, err := logQuery(values, now)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("%q is refused with %v", raw, err)
			}
			return
		}
		if q.Tail < -1 || q.Tail > maxTail || q.Release < 0 || len(q.Instance) > maxInstance {
			t.Errorf("%q is read as %+v", raw, q)
		}
	})
}
