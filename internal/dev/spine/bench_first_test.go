//go:build embedded && bench

package spine

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/m3o/platform/internal/dev/figures"
	"github.com/m3o/platform/internal/release"
)

// firstPace is the time between two deploys: long enough for all that one sets off to be over, so that the next meets an idle
// platform.
const firstPace = 500 * time.Millisecond

// firstHeat is how many deploys one side makes in a round.
const firstHeat = 20

// side is a platform of one version.
type side struct {
	name string
	contest
	heats    []firstResult
	accepted []time.Duration // of all heats
}

// firstResult is one side's result of one round.
type firstResult struct {
	p50              time.Duration
	cpu              float64 // seconds per deploy, without what the platform takes when it is idle
	idle             float64 // seconds per second
	events, movement int64   // history events and state transitions per deploy
}

// firstDeploys measures the first deploy of a service into no region: what it costs to accept an operation, to record where it is
// at each stage, and to record how it ended, without any work in between. With -against another version takes turns with this one.
func firstDeploys(t *testing.T) {
	sides := []*side{newSide(t, "this version", "")}
	if *against != "" {
		sides = append(sides, newSide(t, "-against", *against))
	}
	for _, s := range sides {
		s.heat(t, 10) // fills connections and caches
		s.heats, s.accepted = nil, nil
	}
	var rows [][]string
	for round := range *benchRounds {
		w := observe(t, sides[0].dir)
		for i := range sides {
			sides[(round+i)%len(sides)].heat(t, firstHeat)
		}
		row := []string{fmt.Sprint(round + 1)}
		for _, s := range sides {
			h := s.heats[round]
			row = append(row, fmt.Sprintf("p50 %s, CPU %.1f", figures.Millis(h.p50), h.cpu*1000))
		}
		rows = append(rows, append(row, w.Cells()...))
	}
	header := []string{"round"}
	for _, s := range sides {
		header = append(header, s.name+" (ms)")
	}
	title := fmt.Sprintf("First deploy into no region, one each %s, %d a round", firstPace, firstHeat)
	figures.Table(title+", rounds", append(header, figures.WeatherHeader...), rows)
	rows = nil
	for _, s := range sides {
		rows = append(rows, s.summary(sides[0]))
	}
	figures.Table(fmt.Sprintf("%s, %d rounds (goal: accepted p50 <= 100 ms, CPU per deploy <= 100 ms)", title, *benchRounds),
		[]string{"version", "accepted p50 ms", "p99 ms", "CPU ms per deploy", "idle CPU ms/s", "history events", "state transitions", "p50 over this version's", "CPU over this version's"}, rows)
}

func newSide(t *testing.T, name, binary string) *side {
	p := start(t, settings{scale: 0.02, poll: "500ms", binary: binary})
	return &side{name: name + " (" + strings.TrimSpace(p.must("version")) + ")", contest: contest{platform: p, histories: p.histories(t), token: p.token(t)}}
}

// heat makes so many deploys in an open loop, and waits until all that they set off is over.
func (s *side) heat(t *testing.T, deploys int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	const rest = 2 * time.Second
	before := s.cpu(t)
	time.Sleep(rest)
	idle := (s.cpu(t) - before) / rest.Seconds()
	took := make([]time.Duration, deploys)
	var group errgroup.Group
	first, cpu, began := s.started, s.cpu(t), time.Now()
	for i := range deploys {
		time.Sleep(time.Until(began.Add(time.Duration(i) * firstPace)))
		group.Go(func() error {
			posted := time.Now()
			err := s.post(ctx, fmt.Sprintf("s%d", first+i), true)
			took[i] = time.Since(posted)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	s.started += deploys
	s.settle(t)
	elapsed := time.Since(began)
	h := firstResult{p50: figures.Median(took), idle: idle, cpu: (s.cpu(t) - cpu - idle*elapsed.Seconds()) / float64(deploys)}
	key := release.Key{Project: "default", Name: fmt.Sprintf("s%d", first)}
	for _, id := range []string{key.OperateID(), key.DeployID(1)} {
		found, err := s.histories.temporal.DescribeWorkflowExecution(ctx, id, "")
		if err != nil {
			t.Fatal(err)
		}
		h.events += found.GetWorkflowExecutionInfo().GetHistoryLength()
		h.movement += found.GetWorkflowExecutionInfo().GetStateTransitionCount()
	}
	s.heats, s.accepted = append(s.heats, h), append(s.accepted, took...)
}

// summary is one side's line: medians of its own figures, and of its ratios to the other side within each round.
func (s *side) summary(of *side) []string {
	var cpu, idle, p50Over, cpuOver []float64
	for i, h := range s.heats {
		cpu, idle = append(cpu, h.cpu*1000), append(idle, h.idle*1000)
		p50Over = append(p50Over, float64(h.p50)/float64(of.heats[i].p50))
		cpuOver = append(cpuOver, h.cpu/of.heats[i].cpu)
	}
	last := s.heats[len(s.heats)-1]
	return []string{s.name, figures.Millis(figures.Median(s.accepted)), figures.Millis(figures.Quantile(s.accepted, 0.99)), fmt.Sprintf("%.1f", figures.Median(cpu)), fmt.Sprintf("%.1f", figures.Median(idle)),
		fmt.Sprint(last.events), fmt.Sprint(last.movement),
		fmt.Sprintf("%.2f", figures.Median(p50Over)), fmt.Sprintf("%.2f", figures.Median(cpuOver))}
}
