package podlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/m3o/platform/internal/release"
)

// cluster serves the log of every pod, ten lines a minute apart, as Kubernetes does, but refuses a pod's first requests.
type cluster struct {
	*httptest.Server
	mu     sync.Mutex
	asked  map[string][]url.Values // by pod
	refuse map[string]int
	gone   map[string]string // pods whose logs are gone: all, or that of the run before (previous)
}

var begun = time.Now().Add(-time.Hour).Truncate(time.Second)

func newCluster(t *testing.T, refuse map[string]int) *cluster {
	t.Helper()
	c := &cluster{asked: map[string][]url.Values{}, refuse: refuse}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/namespaces/{namespace}/pods/{pod}/log", c.log)
	c.Server = httptest.NewServer(mux)
	t.Cleanup(c.Close)
	return c
}

func (c *cluster) log(w http.ResponseWriter, r *http.Request) {
	pod, q := r.PathValue("pod"), r.URL.Query()
	c.mu.Lock()
	c.asked[pod] = append(c.asked[pod], q)
	refused := len(c.asked[pod]) <= c.refuse[pod]
	c.mu.Unlock()
	if refused {
		http.Error(w, "the kubelet does not answer", http.StatusInternalServerError)
		return
	}
	if c.gone[pod] != "" && (c.gone[pod] == "all" || q.Get("previous") == "true") {
		fmt.Fprintf(w, "failed to try resolving symlinks in path %q: no such file or directory", "/var/log/pods/"+pod+"/1.log")
		return
	}
	for _, line := range wanted(q) {
		fmt.Fprintln(w, line)
	}
	if q.Get("follow") == "true" {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

// wanted is what a kubelet sends of the ten lines.
func wanted(q url.Values) []string {
	since, _ := time.Parse(time.RFC3339, q.Get("sinceTime"))
	var lines []string
	for i := range 10 {
		if at := begun.Add(time.Duration(i) * time.Minute); !at.Before(since) {
			lines = append(lines, fmt.Sprintf("%s line %d", at.Format(time.RFC3339Nano), i))
		}
	}
	if n, err := strconv.Atoi(q.Get("tailLines")); err == nil {
		lines = lines[max(0, len(lines)-n):]
	}
	return lines
}

// follow returns what is read of the pods a and b, sorted: until a while after that many lines came, or a second if none is to.
func (c *cluster) follow(t *testing.T, q Query, lines int) []string {
	t.Helper()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: c.URL})
	if err != nil {
		t.Fatal(err)
	}
	var pods []*corev1.Pod
	for _, name := range []string{"a", "b"} {
		pods = append(pods, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}}})
	}
	s := &Streamer{Client: client, Pods: func(release.Key) []*corev1.Pod { return pods }, Logger: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if lines == 0 {
		time.AfterFunc(time.Second, cancel)
	}
	var got []string
	q.Follow = true
	err = s.Stream(ctx, q, func(line Line, _ bool) error {
		if got = append(got, line.Instance+" "+strings.TrimPrefix(line.Line, "line ")); len(got) == lines {
			time.AfterFunc(300*time.Millisecond, cancel)
		}
		return nil
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	slices.Sort(got)
	return got
}

func TestAPodThatCouldNotBeReadIsFollowedFromItsTail(t *testing.T) {
	for name, refuse := range map[string]map[string]int{"never": nil, "in the backlog": {"b": 1}, "when it is followed too": {"b": 2}} {
		got := newCluster(t, refuse).follow(t, Query{Tail: 2}, 4)
		if !slices.Equal(got, []string{"a 8", "a 9", "b 8", "b 9"}) {
			t.Errorf("refused %s: read %q", name, got)
		}
	}
	got := newCluster(t, map[string]int{"b": 1}).follow(t, Query{Tail: -1, Since: begun.Add(8*time.Minute - time.Second)}, 4)
	if !slices.Equal(got, []string{"a 8", "a 9", "b 8", "b 9"}) {
		t.Errorf("since a time: read %q", got)
	}
}

func TestNoTailMeansWhatComesFromNowOn(t *testing.T) {
	if got := newCluster(t, map[string]int{"b": 1}).follow(t, Query{Tail: 0, Since: begun}, 0); len(got) > 0 {
		t.Errorf("read %q", got)
	}
}

// A kubelet answers for a log that is gone with a sentence about its own files, as if a program had said it.
func TestTheKubeletsWordThatALogIsGoneIsNoLine(t *testing.T) {
	c := newCluster(t, nil)
	c.gone = map[string]string{"a": "all", "b": "previous"}
	if got := c.follow(t, Query{Tail: 2}, 2); !slices.Equal(got, []string{"b 8", "b 9"}) {
		t.Errorf("read %q", got)
	}
	client, err := kubernetes.NewForConfig(&rest.Config{Host: c.URL})
	if err != nil {
		t.Fatal(err)
	}
	s := &Streamer{Client: client}
	for name, want := range map[string]string{"a": "", "b": "line 9"} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}}}
		if said := s.LastWords(t.Context(), pod, true); !strings.HasSuffix(said, want) || want == "" && said != "" {
			t.Errorf("the last words of %s are %q", name, said)
		}
	}
}
