package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"

	"k8s.io/client-go/kubernetes"

	"github.com/m3o/platform/internal/kube/controlplane"
	"github.com/m3o/platform/internal/kube/node"
)

// fleet makes the running node processes be the wanted ones. Its methods are
// called by one goroutine; retiring nodes report through retired.
type fleet struct {
	dir       *directory
	client    kubernetes.Interface
	authority *controlplane.Authority
	apiServer string
	version   string
	logger    *slog.Logger

	indexes  *indexes
	members  map[string]*running
	retiring map[string]bool
	retired  chan string
	leaving  sync.WaitGroup
}

// running is a member and the goroutine that keeps it running.
type running struct {
	spec NodeSpec
	stop context.CancelFunc
	done chan struct{}
}

func newFleet(dir *directory, client kubernetes.Interface, plane *controlplane.ControlPlane, version string, logger *slog.Logger) (*fleet, error) {
	numbers, err := openIndexes(dir.indexes())
	if err != nil {
		return nil, err
	}
	return &fleet{
		dir: dir, client: client, logger: logger,
		authority: plane.Authority(), apiServer: plane.Endpoint(), version: version,
		indexes: numbers, members: map[string]*running{}, retiring: map[string]bool{},
		retired: make(chan string, maxNodes),
	}, nil
}

// reconcile starts what is wanted and not there, retires what is there and not
// wanted, and restarts what has another size now. Nodes that were wanted by an
// earlier process, and are not any more, are in the indexes and are retired too.
func (f *fleet) reconcile(ctx context.Context, spec Spec) error {
	wanted := map[string]NodeSpec{}
	for _, n := range spec.Nodes {
		wanted[n.Name] = n
	}
	for name := range maps.Clone(f.indexes.nodes) {
		if _, ok := wanted[name]; !ok {
			f.retire(ctx, name)
		}
	}
	for _, n := range spec.Nodes {
		if err := f.ensure(ctx, spec, n); err != nil {
			return err
		}
	}
	return nil
}

func (f *fleet) ensure(ctx context.Context, spec Spec, wanted NodeSpec) error {
	// A node that is being retired comes back when it is gone.
	if f.retiring[wanted.Name] {
		return nil
	}
	if current, ok := f.members[wanted.Name]; ok {
		if current.spec.CPU == wanted.CPU && current.spec.MemoryMiB == wanted.MemoryMiB {
			return nil
		}
		f.logger.Info("node: has another size now, restarting it", "node", wanted.Name)
		f.halt(wanted.Name)
	}
	index, err := f.indexes.assign(wanted.Name)
	if err != nil {
		return err
	}
	f.launch(ctx, wanted, node.Config{
		Name: wanted.Name, Index: index, CPU: wanted.CPU, MemoryMiB: wanted.MemoryMiB,
		Labels: nodeLabels(spec, wanted), Version: f.version,
		Dir: f.dir.node(wanted.Name), ClusterDir: f.dir.path, VolumesDir: f.dir.volumes(), SocketDir: f.dir.nodeSocketDir(),
		APIServer: f.apiServer, InsecureRegistries: spec.InsecureRegistries,
	})
	return nil
}

func (f *fleet) launch(ctx context.Context, spec NodeSpec, config node.Config) {
	ctx, stop := context.WithCancel(ctx)
	r := &running{spec: spec, stop: stop, done: make(chan struct{})}
	f.members[spec.Name] = r
	m := &member{config: config, authority: f.authority, logger: f.logger}
	go func() {
		defer close(r.done)
		m.run(ctx)
	}()
}

// halt stops the node's process, if there is one, and waits for its end.
func (f *fleet) halt(name string) {
	r, ok := f.members[name]
	if !ok {
		return
	}
	delete(f.members, name)
	r.stop()
	<-r.done
}

// retire begins to remove a node; its name comes through retired at the end.
func (f *fleet) retire(ctx context.Context, name string) {
	if f.retiring[name] {
		return
	}
	f.retiring[name] = true
	process := f.members[name]
	delete(f.members, name)
	leaver := retirement{
		client: f.client, name: name, dir: f.dir.node(name), process: process, logger: f.logger,
	}
	f.leaving.Go(func() {
		if err := leaver.run(ctx); err != nil {
			f.logger.Error("node: could not remove it entirely", "node", name, "error", err)
		}
		f.retired <- name
	})
}

// forget frees the index of a retired node. Its addresses may be given again.
func (f *fleet) forget(ctx context.Context, name string) error {
	delete(f.retiring, name)
	// When the process ends meanwhile, the next one finishes the retirement.
	if ctx.Err() != nil {
		return nil
	}
	return f.indexes.free(name)
}

// stop ends all node processes, each with its pods' grace, and returns when none
// is left.
func (f *fleet) stop() {
	for _, r := range f.members {
		r.stop()
	}
	for _, r := range f.members {
		<-r.done
	}
	f.leaving.Wait()
}

// nodeLabels are the labels a node registers with: what a cloud's nodes have, and
// what the caller wants.
func nodeLabels(spec Spec, n NodeSpec) map[string]string {
	labels := map[string]string{
		"node.kubernetes.io/instance-type": fmt.Sprintf("m3o-%dvcpu-%dmib", n.CPU, n.MemoryMiB),
		"topology.kubernetes.io/region":    spec.Name,
	}
	maps.Copy(labels, n.Labels)
	return labels
}
