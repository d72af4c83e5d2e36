package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/m3o/platform/internal/fault"
)

// Line is one line of one instance.
type Line struct {
	Region   string    `json:"region"`
	Time     time.Time `json:"time"`
	Instance string    `json:"instance"`
	Release  int       `json:"release,omitempty"`
	Line     string    `json:"line"`
}

// LogQuery says which lines of a service. Tail is the number of lines of each instance, -1 for the gateway's own choice.
type LogQuery struct {
	Project, Service string
	Region           string // empty: all
	Release          int    // 0: all
	Since            time.Duration
	Tail             int
	Trouble          func(region string, err error) // told when a region cannot be read for now; may be nil
}

func (q LogQuery) values() url.Values {
	v := url.Values{}
	if q.Since > 0 {
		v.Set("since", q.Since.String())
	}
	if q.Tail >= 0 {
		v.Set("tail", strconv.Itoa(q.Tail))
	}
	if q.Release > 0 {
		v.Set("release", strconv.Itoa(q.Release))
	}
	return v
}

func (q LogQuery) trouble(region string, err error) {
	if q.Trouble != nil {
		q.Trouble(region, err)
	}
}

// sites are the regions the query is about.
func (q LogQuery) sites(p Permit) ([]Site, error) {
	if q.Region == "" {
		return p.Regions, nil
	}
	return In(p.Regions, q.Service, q.Region)
}

// maxLogLine bounds one line of JSON; the gateway cuts what services print far below it.
const maxLogLine = 1 << 20

// readLines calls do with each line of a stream of JSON lines.
func readLines(region string, r io.Reader, do func(Line) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxLogLine)
	for lines.Scan() {
		var line Line
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fault.Wrap(fault.Invalid, err, "the gateway of %s sends what is no log line", region)
		}
		line.Region, line.Time = region, line.Time.UTC()
		if err := do(line); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return &brokenError{err}
	}
	return nil
}

// Logs calls do with the lines there are, of all regions in the order of their times. Regions that cannot be read are told
// to Trouble; only when none can be is that an error.
func (c *Client) Logs(ctx context.Context, q LogQuery, do func(Line) error) error {
	permit, err := c.LogTicket(ctx, q.Service)
	if err != nil {
		return err
	}
	sites, err := q.sites(permit)
	if err != nil {
		return err
	}
	if len(sites) == 0 {
		return noInstance(q.Service)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := merged{}
	var failed error
	for _, site := range sites {
		body, err := c.openLogs(ctx, site, permit.Ticket, q.Project, q.Service, q.values())
		if fault.Is(err, fault.NotFound) { // no instance there, which is nobody's failure
			continue
		}
		if err != nil {
			failed = errors.Join(failed, err)
			q.trouble(site.Region, err)
			continue
		}
		defer body.Close()
		m.add(ctx, site.Region, body)
	}
	switch {
	case len(m.heads) > 0:
	case failed != nil:
		return failed
	default:
		return noInstance(q.Service)
	}
	return m.run(ctx, q, do)
}

// noInstance is said of a service that there is, and of which nothing runs: its first release is on its way, or was rolled back.
func noInstance(service string) error {
	return fault.New(fault.NotFound, "service %s has no instance now, so there is nothing to read; `m3o status %s` says why", service, service)
}

// merged reads several streams that are each in the order of time as one.
type merged struct{ heads []*head }

type head struct {
	region string
	lines  chan Line
	err    error // read when lines is closed
	next   Line
}

func (m *merged) add(ctx context.Context, region string, r io.Reader) {
	h := &head{region: region, lines: make(chan Line, 64)}
	m.heads = append(m.heads, h)
	go func() {
		defer close(h.lines)
		h.err = readLines(region, r, func(line Line) error {
			select {
			case h.lines <- line:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	}()
}

func (m *merged) run(ctx context.Context, q LogQuery, do func(Line) error) error {
	live := m.heads[:0]
	for _, h := range m.heads {
		if h.pull(q) {
			live = append(live, h)
		}
	}
	for len(live) > 0 {
		first := slices.MinFunc(live, func(a, b *head) int { return a.next.Time.Compare(b.next.Time) })
		if err := do(first.next); err != nil {
			return err
		}
		if !first.pull(q) {
			live = slices.DeleteFunc(live, func(h *head) bool { return h == first })
		}
	}
	return context.Cause(ctx)
}

func (h *head) pull(q LogQuery) (more bool) {
	h.next, more = <-h.lines
	if !more && h.err != nil {
		q.trouble(h.region, h.err)
	}
	return more
}

// How a follower asks for tickets anew, looks for further regions, and spaces its attempts.
const (
	ticketLife  = 45 * time.Second
	regionsLook = 15 * time.Second
	logPause    = time.Second
)

// FollowLogs calls do with the lines of the last moments and with every line from then on, one at a time, until ctx ends.
// Connections that break are made again from the last line that was seen; regions where the service comes to run join in.
func (c *Client) FollowLogs(ctx context.Context, q LogQuery, do func(Line) error) error {
	f := &follower{client: c, query: q, do: do, reading: map[string]bool{}}
	if _, err := f.renew(ctx); err != nil {
		return err
	}
	if _, err := q.sites(f.permit); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	f.group = group
	group.Go(func() error { return f.look(ctx) })
	return group.Wait()
}

type follower struct {
	client *Client
	query  LogQuery
	group  *errgroup.Group

	output  sync.Mutex // one line at a time
	do      func(Line) error
	mu      sync.Mutex
	permit  Permit
	made    time.Time
	reading map[string]bool
}

// renew returns a permit that still holds.
func (f *follower) renew(ctx context.Context) (Permit, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.made) < ticketLife && f.permit.Ticket != "" {
		return f.permit, nil
	}
	permit, err := f.client.LogTicket(ctx, f.query.Service)
	if err == nil {
		f.permit, f.made = permit, time.Now()
	}
	return permit, err
}

func (f *follower) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made = time.Time{}
}

// look begins to read in every region where the service runs, also in those that join later.
func (f *follower) look(ctx context.Context) error {
	for {
		permit, err := f.renew(ctx)
		if err != nil {
			return err
		}
		sites, err := f.query.sites(permit)
		if err != nil {
			sites = nil // the region is away for now
		}
		for _, site := range sites {
			if f.begin(site.Region) {
				f.group.Go(func() error { return f.follow(ctx, site.Region) })
			}
		}
		if err := sleep(ctx, regionsLook); err != nil {
			return err
		}
		f.forget()
	}
}

func (f *follower) begin(region string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	fresh := !f.reading[region]
	f.reading[region] = true
	return fresh
}

func (f *follower) end(region string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.reading, region)
}

// follow reads one region until the service runs there no more.
func (f *follower) follow(ctx context.Context, region string) error {
	defer f.end(region)
	var seen mark
	for {
		permit, err := f.renew(ctx)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(permit.Regions, func(s Site) bool { return s.Region == region })
		if at < 0 {
			return nil
		}
		err = f.stream(ctx, permit.Regions[at], permit.Ticket, &seen)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var stop *stopError
		if errors.As(err, &stop) {
			return stop.err
		}
		if err != nil {
			if fault.Is(err, fault.NotFound) {
				err = fault.New(fault.NotFound, "no instance of %s is there now; its lines are shown when one comes", f.query.Service)
			}
			f.query.trouble(region, err)
			f.forget()
		}
		if err := sleep(ctx, logPause); err != nil {
			return err
		}
	}
}

// stopError is a failure of the reader's own, which ends everything.
type stopError struct{ err error }

func (e *stopError) Error() string { return e.err.Error() }

func (f *follower) stream(ctx context.Context, site Site, ticket string, seen *mark) error {
	query := f.query.values()
	query.Set("follow", "true")
	if !seen.at.IsZero() {
		query.Set("since", seen.at.Format(time.RFC3339Nano))
		query.Del("tail")
	}
	body, err := f.client.openLogs(ctx, site, ticket, f.query.Project, f.query.Service, query)
	if err != nil {
		return err
	}
	defer body.Close()
	return readLines(site.Region, body, func(line Line) error {
		if !seen.fresh(line) {
			return nil
		}
		f.output.Lock()
		defer f.output.Unlock()
		if err := f.do(line); err != nil {
			return &stopError{err}
		}
		return nil
	})
}

// recent is how far back a broken connection is read again: instances' clocks and buffers differ by less.
const recent = 5 * time.Second

// mark is how far a region was read: lines since at may come a second time.
type mark struct {
	at    time.Time
	lines map[Line]bool
	bound int // lines are sorted out when there are more
}

// fresh reports whether a line has not been seen yet, and remembers it for a while.
func (m *mark) fresh(line Line) bool {
	if m.lines[line] {
		return false
	}
	if m.lines == nil {
		m.lines = map[Line]bool{}
	}
	m.lines[line] = true
	if at := line.Time.Add(-recent); at.After(m.at) {
		m.at = at
	}
	if len(m.lines) > max(m.bound, 1000) {
		maps.DeleteFunc(m.lines, func(old Line, _ bool) bool { return old.Time.Before(m.at) })
		m.bound = 2 * len(m.lines)
	}
	return true
}
