// Package clusterstest has a runner of clusters that are only numbers, to test the sandbox clouds' wire protocol and state
// machines without a Kubernetes. Only tests import it.
package clusterstest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/m3o/platform/internal/sandbox/clusters"
)

// Runner is a clusters.Runner in memory. Clusters are ready at once, unless a test says otherwise.
type Runner struct {
	mu       sync.Mutex
	clusters map[string]clusters.Wanted
	unready  map[string]bool
	broken   map[string]bool
	failed   string
	places   int
	made     clusters.Inventory
	held     chan struct{}
	serves   bool
	servers  map[string]*apiServer
	calls    atomic.Int64
}

// New makes a runner with so many places.
func New(places int) *Runner {
	return &Runner{clusters: map[string]clusters.Wanted{}, unready: map[string]bool{}, broken: map[string]bool{}, places: places}
}

// ServeAPIs gives every cluster that is made from now on a stand-in API server on the loopback, which keeps what is put there and
// takes all of it for running. stop ends those that are there.
func (r *Runner) ServeAPIs() (stop func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.serves, r.servers = true, map[string]*apiServer{}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, a := range r.servers {
			a.server.Close()
		}
		r.serves, r.servers = false, nil
	}
}

// Calls counts the calls to the stand-in API servers so far.
func (r *Runner) Calls() int64 { return r.calls.Load() }

// Objects counts what was put into the stand-in API servers and is there.
func (r *Runner) Objects() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.servers {
		a.mu.Lock()
		n += len(a.objects) - 1 // the StorageClass comes with the cluster
		a.mu.Unlock()
	}
	return n
}

// SetReady says whether the named cluster's API server and nodes become ready.
func (r *Runner) SetReady(name string, ready bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unready[name] = !ready
}

// BreakNode says that the node is not ready, or is again.
func (r *Runner) BreakNode(name string, broken bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken[name] = broken
}

// Fail makes every cluster unable to run, with that reason.
func (r *Runner) Fail(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = reason
}

// Made sets what every cluster's contents made in the account.
func (r *Runner) Made(made clusters.Inventory) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made = made
}

// HoldInspections keeps inspections from being answered until release is called, as an API server that is busy does.
func (r *Runner) HoldInspections() (release func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	held := make(chan struct{})
	r.held = held
	return func() { close(held) }
}

// Inspect implements clusters.Inspector.
func (r *Runner) Inspect(ctx context.Context, _ string) (clusters.Inventory, error) {
	r.mu.Lock()
	held := r.held
	r.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return clusters.Inventory{}, ctx.Err()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.made, nil
}

// Running lists what was applied and not removed.
func (r *Runner) Running() map[string]clusters.Wanted {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[string]clusters.Wanted{}
	for id, wanted := range r.clusters {
		all[id] = wanted
	}
	return all
}

// Places implements clusters.Runner.
func (r *Runner) Places() []string {
	places := make([]string, r.places)
	for i := range places {
		places[i] = fmt.Sprintf("place-%d", i)
	}
	return places
}

// Apply implements clusters.Runner.
func (r *Runner) Apply(_ context.Context, w clusters.Wanted) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clusters[w.ID] = w
	if r.serves && r.servers[w.ID] == nil {
		r.servers[w.ID] = newAPIServer(w, &r.calls)
	}
	return nil
}

// Status implements clusters.Runner.
func (r *Runner) Status(_ context.Context, id string) (clusters.Status, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w, known := r.clusters[id]
	if !known {
		return clusters.Status{}, nil
	}
	status := clusters.Status{Alive: true, Ready: !r.unready[w.Name], Version: "v" + w.Version + ".0",
		Endpoint: "https://127.0.0.1:6443", Nodes: map[string]bool{}, Failed: r.failed}
	if a := r.servers[id]; a != nil {
		status.Endpoint = a.server.URL
	}
	for _, node := range w.Nodes {
		status.Nodes[node.Name] = status.Ready && !r.broken[node.Name]
	}
	return status, nil
}

// Access implements clusters.Runner.
func (r *Runner) Access(ctx context.Context, id string) (clusters.Access, error) {
	status, err := r.Status(ctx, id)
	if err != nil || !status.Ready {
		return clusters.Access{}, clusters.ErrNotReady
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.servers[id]; a != nil {
		return clusters.Access{Server: a.server.URL, CA: a.authority(), Token: a.token}, nil
	}
	return clusters.Access{Server: status.Endpoint, CA: []byte("authority of " + id), Token: "token-of-" + id}, nil
}

// Remove implements clusters.Runner.
func (r *Runner) Remove(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.clusters, id)
	if a := r.servers[id]; a != nil {
		go a.server.Close() // it waits for the calls that it answers, which may ask who the caller is
		delete(r.servers, id)
	}
	return nil
}
