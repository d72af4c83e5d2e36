//go:build embedded && bench

package spine

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/dev/figures"
	"github.com/m3o/platform/internal/region"
)

// site is a platform with regions, what is seen of their clusters, and ways to ask.
type site struct {
	*platform
	regions   []string
	api       *client.Client
	histories *histories
	watches   map[string]*watched
}

// measureSite brings up regions and takes the figures that need them.
func measureSite(t *testing.T, wanted map[string]bool, regions ...string) {
	scale := 0.01
	if wanted["bootstrap"] {
		scale = *benchScale
	}
	s := &site{regions: regions, watches: map[string]*watched{}}
	w := observe(t, t.TempDir())
	s.platform = start(t, settings{scale: scale, poll: "500ms"})
	s.api, s.histories = s.calls(t), s.platform.histories(t)
	ways := s.bootstrap(t)
	if wanted["bootstrap"] {
		printBootstrap(ways, w, scale)
	}
	if wanted["deploy"] {
		s.deployOften(t)
	}
	if wanted["ready"] && len(regions) == 3 {
		s.must("run", hello, "--name", "hello")
		memory(t, s.platform)
		returnToRegions(t, s.platform)
	}
}

// way is how one region came to be: the moments in their order. What lies between two of them is the cloud's and the
// cluster's own time (the path), or ours.
type way struct {
	region  string
	part    string // the pod that was ready last
	moments []moment
}

// moment ends a stretch of the way.
type moment struct {
	stretch string
	path    bool
	at      time.Time
}

// path and wall are the time that the cloud and the cluster took, and the time that it all took.
func (w way) path() (d time.Duration) {
	for i, m := range w.moments {
		if m.path {
			d += m.at.Sub(w.moments[i-1].at)
		}
	}
	return d
}

func (w way) wall() time.Duration { return w.moments[len(w.moments)-1].at.Sub(w.moments[0].at) }

// bootstrap applies the regions at once, and returns how each came to be.
func (s *site) bootstrap(t *testing.T) []way {
	t.Helper()
	file, err := os.ReadFile(s.file(s.regions...))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := s.api.CreatePlan(t.Context(), client.PlanRequest{File: string(file)})
	if err != nil {
		t.Fatal(err)
	}
	posted := time.Now()
	if _, err := s.api.ApplyPlan(t.Context(), plan.ID); err != nil {
		t.Fatal(err)
	}
	s.watchAll(t)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	ways := make([]way, len(s.regions))
	for i, name := range s.regions {
		id := region.Key{Platform: "micro", Name: name}.BootstrapID(1)
		var end region.Outcome
		if err := s.histories.await(ctx, id, &end); err != nil || end.Region.Status != region.Ready {
			t.Fatalf("%s: %v, %s %s", name, err, end.Region.Status, end.Region.Message)
		}
		if ways[i], err = s.way(ctx, name, id, posted); err != nil {
			t.Fatal(err)
		}
	}
	return ways
}

// watchAll begins to watch while the clouds are still at it: the real clusters are there long before their time is over.
func (s *site) watchAll(t *testing.T) {
	for _, name := range s.regions {
		s.watches[name] = watchRegion(t, s.platform, name)
	}
}

// way puts the ledger, the history and what was seen of the cluster in one order.
func (s *site) way(ctx context.Context, name, id string, posted time.Time) (way, error) {
	network, one := s.lineOf("created", "vpc", name)
	cluster, two := s.lineOf("updated", "kubernetes_cluster", name)
	last := s.watches[name].lastPart()
	if !one || !two || cluster.State != "running" || last.ready.IsZero() {
		return way{}, fmt.Errorf("the ledger or the watch lacks a part of %s: %+v %+v %+v", name, network, cluster, last)
	}
	history, err := s.histories.read(ctx, id)
	if err != nil {
		return way{}, err
	}
	found := map[string]act{}
	for _, activity := range []string{"EnsureCluster", "ApplyParts", "AwaitParts", "CheckGateway", "RecordRegion"} {
		if found[activity], err = history.last(activity); err != nil {
			return way{}, err
		}
	}
	return way{region: name, part: last.namespace + "/" + last.name, moments: []moment{
		{"", false, posted},
		{"order, first records, preflight", false, network.RequestedAt},
		{"network (ledger)", true, network.ReadyAt},
		{"network and identity made, cluster asked for", false, cluster.RequestedAt},
		{"cluster and nodes (ledger)", true, cluster.ReadyAt},
		{"EnsureCluster sees it (poll)", false, found["EnsureCluster"].completed},
		{"trust, records, on to ApplyParts", false, found["ApplyParts"].started},
		{"ApplyParts, until the last pod is made", false, last.made},
		{"Kubernetes schedules that pod", false, last.scheduled},
		{"that pod: image, start, ready", true, last.ready},
		{"AwaitParts sees it (poll)", false, found["AwaitParts"].completed},
		{"call through the gateway", false, found["CheckGateway"].completed},
		{"recorded as ready", false, found["RecordRegion"].completed},
	}}, nil
}

// printBootstrap prints each region's way, and how long it took over its critical path.
func printBootstrap(ways []way, w figures.Weather, scale float64) {
	header := []string{"stretch", "whose"}
	for _, way := range ways {
		header = append(header, way.region+" s")
	}
	var rows [][]string
	for i := 1; i < len(ways[0].moments); i++ {
		whose := "ours"
		if ways[0].moments[i].path {
			whose = "path"
		}
		row := []string{ways[0].moments[i].stretch, whose}
		for _, way := range ways {
			row = append(row, figures.Secs(way.moments[i].at.Sub(way.moments[i-1].at)))
		}
		rows = append(rows, row)
	}
	figures.Table(fmt.Sprintf("Bootstrap of %d regions at once, time scale %g: where the time goes", len(ways), scale), header, rows)
	var wall, path time.Duration
	rows = nil
	for _, way := range ways {
		wall, path = max(wall, way.wall()), max(path, way.path())
		rows = append(rows, []string{way.region, figures.Secs(way.wall()), figures.Secs(way.path()), ratio(way.wall(), way.path()), figures.Secs(way.wall() - way.path()), way.part})
	}
	rows = append(rows, []string{"**all**", figures.Secs(wall), figures.Secs(path), ratio(wall, path), figures.Secs(wall - path), ""})
	figures.Table("Bootstrap: wall time over critical path (goal <= 1.03)", []string{"region", "wall s", "path s", "ratio", "ours s", "last pod"}, rows)
	figures.Say("n=%d regions in one apply; before it %v (load, cpu ms, fsync ms)", len(ways), w.Cells())
}

func ratio(a, b time.Duration) string { return fmt.Sprintf("%.3f", float64(a)/float64(b)) }
