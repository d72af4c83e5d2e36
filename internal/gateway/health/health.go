// Package health tells how the instances of a region's services are: which are ready, which are not and why, with the last words
// of their programs.
//
// States come from pods that the gateway has in its memory. What a program said last is asked of the cluster, and why one that
// runs does not answer is tried out, for the instances alone that are not well, a bounded number at a time; what was not asked for
// want of time comes with the next report. The package judges nothing: what the states mean for a service is release.Judge's part. Only
// the gateway imports it.
package health

import (
	"cmp"
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/m3o/platform/internal/release"
)

// Bounds of a page of a report, so that whoever reads four megabytes of it has it whole, however it is escaped, and it comes within
// seconds.
const (
	pageServices  = 200
	pageInstances = 1000
	pageWords     = 512 << 10       // bytes of last words
	perService    = 60              // instances that are listed
	perServiceSay = 3               // instances that are asked for their last words: they say the same
	askedAtOnce   = 8               // of the cluster
	askFor        = 2 * time.Second // in all
)

// Reporter reports on the pods of services.
type Reporter struct {
	// Pods are the pods of services, by service.
	Pods func() map[release.Key][]*corev1.Pod
	// Suspended are the projects that are suspended.
	Suspended func() []string
	// LastWords reads the end of the log of a pod's program, of the run before the one that is on with previous.
	LastWords func(ctx context.Context, pod *corev1.Pod, previous bool) string
	// Meets says what the pod's readiness probe meets now, in the words of the kubelet; "" for an answer that is one. False: not known.
	Meets func(ctx context.Context, pod *corev1.Pod) (string, bool)
	Now   func() time.Time

	heard heard
}

// Page reports on the services after the one that is named, the first ones for the zero key.
func (r *Reporter) Page(ctx context.Context, after release.Key) release.Report {
	pods, now := r.Pods(), r.Now()
	report := release.Report{At: now.UTC(), Services: []release.Reported{}, Suspended: r.Suspended()}
	var asked []question
	count := 0
	for _, key := range slices.SortedFunc(maps.Keys(pods), byName) {
		if byName(key, after) <= 0 {
			continue
		}
		if count >= pageInstances || len(report.Services) == pageServices {
			report.Next = report.Services[len(report.Services)-1].Service.String()
			break
		}
		one, why := reported(key, pods[key], now)
		count += len(one.Instances)
		for _, q := range why {
			q.service = len(report.Services)
			asked = append(asked, q)
		}
		report.Services = append(report.Services, one)
	}
	r.heard.forget(now)
	rand.Shuffle(len(asked), func(a, b int) { asked[a], asked[b] = asked[b], asked[a] }) // whoever is not asked in time is asked another time
	r.answer(ctx, report.Services, asked, now)
	return report
}

func byName(a, b release.Key) int {
	return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Name, b.Name))
}

// question is what there is to ask of an instance that is not well.
type question struct {
	service, instance int // places in the report
	pod               *corev1.Pod
}

// reported are the instances of a service, and what is to be asked of them.
func reported(key release.Key, pods []*corev1.Pod, now time.Time) (release.Reported, []question) {
	one, byPod := release.Reported{Service: key}, map[string]*corev1.Pod{}
	for _, pod := range pods {
		if i, there := stateOf(pod, now); there {
			why(context.Background(), &i, pod, mute{})
			i.Said = "" // of those alone that are asked
			one.Instances = append(one.Instances, i)
			byPod[i.Name] = pod
		}
	}
	release.WorstFirst(one.Instances)
	if n := len(one.Instances); n > perService {
		one.Instances, one.Left = one.Instances[:perService], n-perService
	}
	var asked []question
	for at, i := range one.Instances {
		if len(asked) < perServiceSay && !i.Well() && i.State != release.InstanceEnding && statusOf(byPod[i.Name]) != nil {
			asked = append(asked, question{instance: at, pod: byPod[i.Name]})
		}
	}
	return one, asked
}

// answer fills in the last words, and why programs do not answer that run.
func (r *Reporter) answer(ctx context.Context, services []release.Reported, asked []question, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(askedAtOnce)
	for _, q := range asked {
		i := &services[q.service].Instances[q.instance]
		group.Go(func() error {
			why(ctx, i, q.pod, &witness{reporter: r, now: now})
			return nil
		})
	}
	_ = group.Wait() // what nobody answers is left out
	for _, q := range asked {
		i := &services[q.service].Instances[q.instance]
		i.Said = tail(i.Said, pageWords/len(asked))
	}
}

// tail is the end of a text that has no room as a whole.
func tail(text string, room int) string {
	if len(text) <= room {
		return text
	}
	return strings.ToValidUTF8(text[len(text)-room:], "")
}

// heard remembers answers: last words of a run that has ended do not change, others are asked for again after a while.
type heard struct {
	mu      sync.Mutex
	answers map[string]answer
}

type answer struct {
	text  string
	until time.Time
}

// How long answers are remembered.
const (
	rememberEnded   = time.Hour
	rememberRunning = 20 * time.Second
	rememberNothing = 5 * time.Second // the log of a run that ended comes a moment later
)

// get is what is remembered, or is said now. Without an answer, or time for one, it is what was said before.
func (h *heard) get(ctx context.Context, key string, now time.Time, life time.Duration, ask func() (string, bool)) string {
	h.mu.Lock()
	before, known := h.answers[key]
	h.mu.Unlock()
	if known && now.Before(before.until) || ctx.Err() != nil {
		return before.text
	}
	text, told := ask()
	if !told {
		text, life = before.text, rememberNothing
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.answers == nil {
		h.answers = map[string]answer{}
	}
	h.answers[key] = answer{text: text, until: now.Add(life)}
	return text
}

// forget drops what nobody asks for any more.
func (h *heard) forget(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.answers, func(_ string, a answer) bool { return now.After(a.until.Add(time.Minute)) })
}
