package relay

import (
	"context"
	"strings"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/oncall"
	"github.com/m3o/platform/internal/store"
)

// gapsEvery is how often schedules are looked at: who is on call and cannot be reached is said within that.
const gapsEvery = 30 * time.Second

// OnCall is what says who is on call, and the signals of gaps.
type OnCall interface {
	AllRules(ctx context.Context) ([]alert.Rules, error)
	Overrides(ctx context.Context, project string, from, to time.Time) ([]oncall.Override, error)
	Unreachable(ctx context.Context, project string, names []string) (map[string]string, error)
	FiringKeys(ctx context.Context, project string) ([]alert.Key, error)
	AppendSignals(ctx context.Context, signals []alert.Signal) ([]int64, error)
}

// CheckGaps is the job that makes signals of gaps in on-call schedules ahead of time: alert.GapsAhead. So it does of people whom policies
// name and who cannot be reached. They are resolved once the gaps are
// mended or past.
func CheckGaps(records OnCall) Job {
	g := &gaps{records: records, now: time.Now}
	return Job{Name: "look for gaps in on-call schedules", Every: gapsEvery, Do: g.check}
}

// gaps remembers what it said, so that a gap whose alert a person closed is not said again as long as it stays as it is.
type gaps struct {
	records OnCall
	now     func() time.Time
	held    store.Lease
	said    map[string]alert.Signal // by project and key, in this tenure of the lease
}

func (g *gaps) check(ctx context.Context, held store.Lease) error {
	if held != g.held {
		g.held, g.said = held, map[string]alert.Signal{}
	}
	all, err := g.records.AllRules(ctx)
	if err != nil {
		return err
	}
	for _, rules := range all {
		if err := g.project(ctx, rules); err != nil {
			return err
		}
	}
	return nil
}

// project says what changed of a project's gaps.
func (g *gaps) project(ctx context.Context, rules alert.Rules) error {
	now := g.now().UTC()
	found, err := g.find(ctx, rules, now)
	if err != nil {
		return err
	}
	firing, err := g.firing(ctx, rules.Project)
	if err != nil {
		return err
	}
	var news []alert.Signal
	wanted := map[string]bool{}
	for _, s := range alert.GapSignals(rules.Project, found, now) {
		wanted[s.DedupKey] = true
		if g.isNews(s, firing) {
			news = append(news, s)
		}
	}
	for key, k := range firing {
		if !wanted[key] {
			news = append(news, alert.GapResolved(k, now))
		}
	}
	if _, err := g.records.AppendSignals(ctx, news); err != nil {
		return err
	}
	for _, s := range news {
		g.said[s.Project+"/"+s.DedupKey] = s
	}
	return nil
}

func (g *gaps) find(ctx context.Context, rules alert.Rules, now time.Time) ([]oncall.Gap, error) {
	to := now.Add(alert.GapsAhead)
	overrides, err := g.records.Overrides(ctx, rules.Project, now, alert.GapsEnd(to))
	if err != nil {
		return nil, err
	}
	unreachable, err := g.records.Unreachable(ctx, rules.Project, rules.OnCallPeople(overrides))
	if err != nil {
		return nil, err
	}
	return rules.Gaps(overrides, now, to, unreachable), nil
}

// firing are the keys of gaps that fire, and those that were said and have not been brought into a group yet.
func (g *gaps) firing(ctx context.Context, project string) (map[string]alert.Key, error) {
	keys, err := g.records.FiringKeys(ctx, project)
	if err != nil {
		return nil, err
	}
	firing := map[string]alert.Key{}
	for _, k := range keys {
		if k.Source == alert.FromOnCall {
			firing[k.DedupKey] = k
		}
	}
	for id, s := range g.said {
		key, ours := strings.CutPrefix(id, project+"/")
		if _, there := firing[key]; ours && !there && s.Action == alert.Trigger {
			firing[key] = alert.Key{Project: project, DedupKey: key, Summary: s.Summary, Severity: s.Severity, Labels: s.Labels}
		}
	}
	return firing, nil
}

// isNews reports whether a gap is not as it was said before.
func (g *gaps) isNews(s alert.Signal, firing map[string]alert.Key) bool {
	k, fires := firing[s.DedupKey]
	return !fires || k.Summary != s.Summary || k.Severity != s.Severity
}
