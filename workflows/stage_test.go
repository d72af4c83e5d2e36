//go:build embedded

package workflows_test

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/dev/engine"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
)

// stage is a server, a worker, and a world.
type stage struct {
	t     *testing.T
	ctx   context.Context
	c     client.Client
	flows *control.Flows
	w     *world
}

// newStage is a stage on which everything but alerts is played.
func newStage(t *testing.T) *stage {
	s := emptyStage(t)
	s.serve([]string{queue.Flows, queue.Build, queue.Cloud(region.DigitalOcean)}, all, s.w.activities(s.flows)...)
	return s
}

// emptyStage is a server whose queues nobody serves.
func emptyStage(t *testing.T) *stage {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	server, err := engine.Start(ctx, engine.Config{Dir: t.TempDir(), Port: port, Namespace: control.Namespace, Retention: 24 * time.Hour, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	c, err := client.DialContext(ctx, client.Options{HostPort: server.Address, Namespace: control.Namespace, Logger: quiet{}, Identity: "recorder"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	plain := control.Converters{Data: converter.GetDefaultDataConverter(), Failures: temporal.GetDefaultFailureConverter()} // what is recorded can be read
	return &stage{t: t, ctx: ctx, c: c, flows: control.NewFlows(c, plain), w: newWorld()}
}

// serve has workers serve queues until the test ends.
func (s *stage) serve(queues []string, flows map[string]any, acts ...any) {
	for _, name := range queues {
		w := worker.New(s.c, name, worker.Options{DisableRegistrationAliasing: true})
		for name, function := range flows {
			w.RegisterWorkflowWithOptions(function, workflow.RegisterOptions{Name: name})
		}
		for _, a := range acts {
			w.RegisterActivity(a)
		}
		s.must("serve "+name, w.Start())
		s.t.Cleanup(w.Stop)
	}
}

func (s *stage) must(what string, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
}

// until waits for something to become so.
func (s *stage) until(what string, so func(*world) bool) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		s.w.mu.Lock()
		done := so(s.w)
		s.w.mu.Unlock()
		if done {
			return
		}
	}
	s.t.Fatalf("%s does not happen; calls: %v", what, s.w.calls)
}

func (s *stage) region(spec region.Spec, status region.Status) {
	s.t.Helper()
	s.until(spec.Name+" "+string(status), func(w *world) bool { return w.regions[spec.Key()].Status == status })
}
