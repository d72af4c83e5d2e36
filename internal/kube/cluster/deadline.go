package cluster

import (
	"fmt"
	"log/slog"
	"os"
	"runtime/pprof"
	"sync"
	"time"
)

const (
	// startLimit is how long it may take until the wanted state is followed,
	// stopLimit until everything is down that has limits of its own.
	startLimit = 3 * time.Minute
	stopLimit  = 40 * time.Second
	// lastLimit is for writing down why.
	lastLimit = 5 * time.Second
)

// deadline ends the process when a stage takes too long. What is linked in waits
// without limits in places: etcd for its files, informers for their caches. All
// state is on disk, and whoever started the cluster starts it again.
type deadline struct {
	report *reporter
	logger *slog.Logger
	exit   func(code int)

	mu    sync.Mutex
	timer *time.Timer
}

// expect begins a stage, and ends the one before.
func (d *deadline) expect(stage string, limit time.Duration) {
	d.met()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timer = time.AfterFunc(limit, func() { d.miss(fmt.Errorf("the cluster did not %s within %s", stage, limit)) })
}

// met says that the stage ended in time.
func (d *deadline) met() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
}

// miss says what everything waits for, in the log, and ends the process.
func (d *deadline) miss(why error) {
	exit := sync.OnceFunc(func() { d.exit(1) })
	time.AfterFunc(lastLimit, exit) // the disk may be what everything waits for
	d.logger.Error("cluster: ending, what it waits for follows", "error", why)
	_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
	if err := d.report.end(why); err != nil {
		d.logger.Error("cluster: its end is not written down", "error", err)
	}
	fmt.Fprintln(os.Stderr, "m3o-kube:", why) // callers show the log's last line
	exit()
}
