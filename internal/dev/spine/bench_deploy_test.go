//go:build embedded && bench

package spine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/dev/figures"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/source"
)

// deployOften brings out release after release, each a small change of source, and prints where the time goes.
func (s *site) deployOften(t *testing.T) {
	s.deploy(t, 0) // the compiler's cache is filled, and the namespace made
	var ways []way
	var rows [][]string
	for i := range *deploys {
		w := observe(t, s.dir)
		d := s.deploy(t, i+1)
		ways = append(ways, d)
		rows = append(rows, append([]string{fmt.Sprint(i + 1), figures.Secs(d.wall()), figures.Secs(d.stretch(compiles)), figures.Secs(d.stretch(isReady)), figures.Secs(d.wall() - d.path()), d.longest(), d.region}, w.Cells()...))
	}
	count := fmt.Sprintf("%d region(s)", len(s.regions))
	figures.Table("Deploys to "+count+", rounds (seconds)", append([]string{"round", "total", "compile and push", "pod ready", "control plane", "longest stretch of it", "slowest region"}, figures.WeatherHeader...), rows)
	rows = nil
	for i := 1; i < len(ways[0].moments); i++ {
		m := ways[0].moments[i]
		whose := "ours"
		if m.path {
			whose = "not counted"
		}
		rows = append(rows, spread(m.stretch, whose, ways, func(w way) time.Duration { return w.moments[i].at.Sub(w.moments[i-1].at) }))
	}
	rows = append(rows, spread("**total**", "", ways, way.wall),
		spread("**control plane's share**", "ours", ways, func(w way) time.Duration { return w.wall() - w.path() }))
	figures.Table(fmt.Sprintf("Deploys to %s, where the time goes, n=%d (goal: control plane's share p99 <= 2 s; with n < 100 p99 is the largest)", count, len(ways)),
		[]string{"stretch, in the slowest region", "whose", "median s", "p99 s"}, rows)
}

func spread(name, whose string, ways []way, of func(way) time.Duration) []string {
	var values []time.Duration
	for _, w := range ways {
		values = append(values, of(w))
	}
	return []string{name, whose, figures.Secs(figures.Median(values)), figures.Secs(figures.Quantile(values, 0.99))}
}

// The stretches of a deploy that are not the control plane's.
const (
	compiles = "compile and push (activity)"
	isReady  = "pod made, until available (image, start, probe, minReadySeconds 1)"
)

// longest names the stretch of ours that took most.
func (w way) longest() string {
	name, most := "", time.Duration(0)
	for i, m := range w.moments {
		if i > 0 && !m.path && m.at.Sub(w.moments[i-1].at) > most {
			name, most = m.stretch, m.at.Sub(w.moments[i-1].at)
		}
	}
	return figures.Secs(most) + " " + name
}

// stretch is how long the named part of the way took.
func (w way) stretch(name string) time.Duration {
	for i, m := range w.moments {
		if m.stretch == name {
			return m.at.Sub(w.moments[i-1].at)
		}
	}
	return 0
}

// deploy brings out a changed hello, and returns how that went in the region that was ready last.
func (s *site) deploy(t *testing.T, i int) way {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	digest := s.upload(t, variant(t, func(text string) string { return text + fmt.Sprintf("\nvar _ = %d\n", i+1000) }))
	posted := time.Now()
	ordered, err := s.api.CreateRelease(ctx, "hello", client.ReleaseRequest{Source: digest, Access: release.Public, Health: "/healthz"})
	if err != nil {
		t.Fatal(err)
	}
	key := release.Key{Project: ordered.Project, Name: ordered.Service}
	var end release.Outcome
	if err := s.histories.await(ctx, key.DeployID(ordered.Release), &end); err != nil || end.Release.Status != release.Ready {
		t.Fatalf("release %d: %v, %s %s", ordered.Release, err, end.Release.Status, end.Release.Message)
	}
	for _, w := range s.watches {
		eventually(t, time.Minute, func() error { // what was rolled over goes before the next one comes
			if left := w.others("hello", ordered.Release); left > 0 {
				return fmt.Errorf("%d pods of other releases are left in %s", left, w.region)
			}
			return nil
		})
	}
	d, err := s.deployed(ctx, key, ordered.Release, posted)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (s *site) upload(t *testing.T, dir string) string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "source.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	stats, err := source.Pack(dir, file, source.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.api.PutSource(t.Context(), stats.Digest, file.Name()); err != nil {
		t.Fatal(err)
	}
	return stats.Digest
}

// deployed puts the histories of a deploy and of its build, and what was seen of the cluster, in one order.
func (s *site) deployed(ctx context.Context, key release.Key, number int, posted time.Time) (way, error) {
	history, err := s.histories.read(ctx, key.DeployID(number))
	if err != nil {
		return way{}, err
	}
	build, err := s.histories.read(ctx, key.BuildID(number))
	if err != nil {
		return way{}, err
	}
	compile, err := build.last("CompileSource")
	if err != nil {
		return way{}, err
	}
	record, err := history.last("RecordRelease")
	if err != nil {
		return way{}, err
	}
	name, in, err := s.slowest(history)
	if err != nil {
		return way{}, err
	}
	pod, available, rolled, err := s.watches[name].rollout(key.Name, number)
	if err != nil {
		return way{}, err
	}
	if attempts := compile.attempt + in["ApplyService"].attempt; attempts > 2 {
		return way{}, fmt.Errorf("release %d was tried %d times: its times say nothing", number, attempts)
	}
	return way{region: name, part: pod.name, moments: []moment{
		{"", false, posted},
		{"ordered: request, update, first records", false, history.began},
		{"recorded, regions found, build begun", false, build.began},
		{"the build's workflow, until it compiles", false, compile.started},
		{compiles, true, compile.completed},
		{"back from the build, recorded", false, in["ApplyService"].started},
		{"applied, until the pod is made", false, pod.made},
		{isReady, true, available},
		{"Kubernetes' own account of the rollout", false, rolled},
		{"AwaitService sees it (poll)", false, in["AwaitService"].completed},
		{"the gateway reaches it (VerifyRelease)", false, in["VerifyRelease"].completed},
		{"recorded as ready", false, record.completed},
	}}, nil
}

// slowest is the region whose gateway reached the release last, with its activities.
func (s *site) slowest(history past) (string, map[string]act, error) {
	byRegion := map[string]map[string]act{}
	name := ""
	for _, a := range history.acts {
		if a.name != "ApplyService" && a.name != "AwaitService" && a.name != "VerifyRelease" {
			continue
		}
		var p release.Placement
		if err := s.histories.payloads.FromPayloads(a.input, &p); err != nil {
			return "", nil, fmt.Errorf("read the input of %s: %w", a.name, err)
		}
		at := p.Region.Name
		if byRegion[at] == nil {
			byRegion[at] = map[string]act{}
		}
		byRegion[at][a.name] = a
		if name == "" || a.name == "VerifyRelease" && a.completed.After(byRegion[name]["VerifyRelease"].completed) {
			name = at
		}
	}
	if len(byRegion) != len(s.regions) {
		return "", nil, fmt.Errorf("the deploy went to %d regions of %d", len(byRegion), len(s.regions))
	}
	return name, byRegion[name], nil
}
