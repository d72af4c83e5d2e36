package build

import (
	"cmp"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

// places shares between projects what can be done at one time. Nobody waits in it: whoever finds no place is turned away with
// a time to come back at, and is remembered for so long.
//
// A project may take a place as long as it leaves at least as many free as it then would have had before: of three places two go
// to one project, and the third stays for another. Of those who were turned away, the project that holds least comes first, then the
// one that was served longest ago; within a project, whoever has asked for longest.
type places struct {
	purpose string // what is waited for: "a free builder"
	total   int
	now     func() time.Time

	mu      sync.Mutex
	held    map[string]int // by project
	served  map[string]uint64
	turn    uint64
	waiting map[asker]turnedAway
}

// asker is one piece of work of a project.
type asker struct{ project, work string }

// turnedAway is when an asker first asked, and until when it is expected back.
type turnedAway struct{ since, until time.Time }

// How soon an asker is to come back: sooner, the fewer are before it. One that does not come for the grace after that has given up.
const (
	backSoon  = time.Second
	backEach  = 500 * time.Millisecond
	backLate  = 10 * time.Second
	backGrace = 5 * time.Second
	maxServed = 10_000 // projects whose last turn is remembered
)

func newPlaces(purpose string, total int) *places {
	return &places{purpose: purpose, total: total, now: time.Now, held: map[string]int{}, served: map[string]uint64{}, waiting: map[asker]turnedAway{}}
}

// take gives a place, and how to give it back, or Throttled with the time to come back after.
func (p *places) take(service release.Key, work string) (done func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := asker{service.Project, service.Name + " " + work}
	free, before := p.free(), p.before(a)
	if p.held[a.project] >= free || before >= free {
		return nil, p.turnAway(a, free, before)
	}
	delete(p.waiting, a)
	p.held[a.project]++
	p.turn++
	p.served[a.project] = p.turn
	p.forget()
	return sync.OnceFunc(func() { p.giveBack(a.project) }), nil
}

func (p *places) giveBack(project string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held[project]--; p.held[project] == 0 {
		delete(p.held, project)
	}
}

func (p *places) free() int {
	free := p.total
	for _, n := range p.held {
		free -= n
	}
	return free
}

// before counts who comes before the asker: one of each project, since its next one comes after others' first, and those of
// its own project who have asked for longer.
func (p *places) before(a asker) int {
	now, since := p.now(), p.now()
	if w, ok := p.waiting[a]; ok {
		since = w.since
	}
	projects, own := map[string]bool{}, 0
	for other, w := range p.waiting {
		switch {
		case now.After(w.until):
			delete(p.waiting, other)
		case other == a:
		case other.project == a.project && w.since.Before(since):
			own++
		case other.project != a.project && p.comesFirst(other.project, a.project):
			projects[other.project] = true
		}
	}
	return own + len(projects)
}

func (p *places) comesFirst(a, b string) bool {
	return cmp.Or(cmp.Compare(p.held[a], p.held[b]), cmp.Compare(p.served[a], p.served[b])) < 0
}

func (p *places) turnAway(a asker, free, before int) error {
	now := p.now()
	w, ok := p.waiting[a]
	if !ok {
		w.since = now
	}
	back := min(backLate, backSoon+time.Duration(before)*backEach)
	w.until = now.Add(back + backGrace)
	p.waiting[a] = w
	why := fmt.Sprintf("%d of %d are taken", p.total-free, p.total)
	if own := p.held[a.project]; free > 0 && own >= free {
		why = fmt.Sprintf("project %s has %d of %d, and the rest is for others", a.project, own, p.total)
	}
	busy := fault.New(fault.Throttled, "waits for %s: %s; %s in line", p.purpose, why, ordinal(before+1))
	busy.RetryAfter = back
	return busy
}

// ordinal writes a place in a line: "1st".
func ordinal(n int) string {
	suffix := "th"
	if tens := n / 10 % 10; tens != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return strconv.Itoa(n) + suffix
}

// forget drops the turns of projects that neither hold nor wait, when they are many.
func (p *places) forget() {
	if len(p.served) <= maxServed {
		return
	}
	waits := map[string]bool{}
	for a := range p.waiting {
		waits[a.project] = true
	}
	for project := range p.served {
		if p.held[project] == 0 && !waits[project] {
			delete(p.served, project)
		}
	}
}
