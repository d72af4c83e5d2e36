//go:build embedded

package probe

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/dev/engine"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/store"
	"github.com/m3o/platform/workers"
)

func cpu() float64 {
	var own syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &own)
	return time.Duration(own.Utime.Nano() + own.Stime.Nano()).Seconds()
}

func TestProbe(t *testing.T) {
	n := 60
	if v := os.Getenv("N"); v != "" {
		n, _ = strconv.Atoi(v)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	dir := t.TempDir()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	e, err := engine.Start(ctx, engine.Config{Dir: filepath.Join(dir, "t"), Port: port, Namespace: control.Namespace, Retention: 24 * time.Hour, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Stop()
	keys, err := control.LoadOrCreateKeys(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	codec, err := control.NewCodec(keys)
	if err != nil {
		t.Fatal(err)
	}
	c, err := control.Dial(ctx, control.Settings{Address: e.Address, Codec: codec, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(ctx, "sqlite://"+filepath.Join(dir, "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	flows := control.NewFlows(c, codec)
	go workers.Run(ctx, c, workers.Holdings{Flows: &workers.FlowHoldings{Regions: &activities.Regions{Records: s, Plans: s}, Traffic: &activities.Traffic{Records: s, Poll: time.Second},
		Releases: &activities.Releases{Records: s}, Gateways: &activities.Gateways{}, Operators: &activities.Operators{Regions: flows, Services: flows, List: s}, Flows: &activities.Flows{Awaiter: flows}}},
		workers.Options{Build: "dev", Logger: log})
	time.Sleep(2 * time.Second)
	deploy := func(i int) time.Duration {
		key := release.Key{Project: "default", Name: fmt.Sprintf("s%d", i)}
		in := release.Request{Service: key, Origin: release.Origin{Image: "127.0.0.1/measured:1"}, By: "admin"}.WithDefaults()
		began := time.Now()
		if _, err := flows.DeployService(ctx, key.Name, in); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		for {
			r, _, err := s.Releases(ctx, key, store.Page{Limit: 1})
			if err == nil && len(r) == 1 && r[0].Status.Ended() {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(20 * time.Millisecond)
		return took
	}
	for i := range 10 {
		deploy(i)
	}
	time.Sleep(time.Second)
	if path := os.Getenv("PROFILE"); path != "" {
		f, _ := os.Create(path)
		pprof.StartCPUProfile(f)
		defer pprof.StopCPUProfile()
	}
	idle, began := cpu(), time.Now()
	if os.Getenv("PROFILE") == "" {
		time.Sleep(2 * time.Second)
	}
	base := (cpu() - idle) / time.Since(began).Seconds()
	before, began := cpu(), time.Now()
	var took []time.Duration
	for i := range n {
		took = append(took, deploy(100+i))
	}
	time.Sleep(500 * time.Millisecond)
	used, wall := cpu()-before, time.Since(began).Seconds()
	slices.Sort(took)
	events := 0
	for _, id := range []string{release.Key{Project: "default", Name: "s100"}.OperateID(), release.Key{Project: "default", Name: "s100"}.DeployID(1)} {
		for it := c.GetWorkflowHistory(ctx, id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); it.HasNext(); {
			ev, err := it.Next()
			if err != nil {
				break
			}
			events++
			if os.Getenv("EVENTS") != "" {
				fmt.Println(id, ev.GetEventId(), ev.GetEventType())
			}
		}
	}
	fmt.Printf("n=%d p50=%v p99=%v cpu/op=%.1fms (idle %.0f ms/s, net of idle %.1f) events=%d\n", n, took[n/2], took[n-1], used/float64(n)*1000, base*1000, (used-base*wall)/float64(n)*1000, events)
}
