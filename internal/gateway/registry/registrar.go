package registry

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/time/rate"
)

// leaseTTL is how long what was mirrored outlives the last gateway.
const leaseTTL = 60 * time.Second

// minWriteBackoff is how soon a refused write is tried again, the first time.
const minWriteBackoff = time.Second

// maxOps is how many changes go into one transaction (etcd's own limit is 128).
const maxOps = 64

// leaseID is the lease of everything mirrored, the same for every gateway of the region: a key has one lease only, so with
// a lease per gateway the entries of one that died would vanish although others still vouch for them.
var leaseID = func() clientv3.LeaseID {
	h := fnv.New64a()
	h.Write([]byte("m3o gateway registrar"))
	return clientv3.LeaseID(h.Sum64() >> 1)
}()

// Registrar writes into the registry what Kubernetes runs, and takes out what it no longer runs. Any number of them may
// work side by side: all write the same values under the same lease. It touches no entry that it did not make.
type Registrar struct {
	client  *clientv3.Client
	watcher *Watcher
	desired func() ([]Instance, bool)
	logger  *slog.Logger
	wake    chan struct{}
	limit   *rate.Limiter

	mu      sync.Mutex
	written bool
	failing time.Time // since when etcd refuses what it is to hold
	reason  error
}

// NewRegistrar makes a registrar. desired says what Kubernetes runs, and false as long as that is not known.
func NewRegistrar(client *clientv3.Client, watcher *Watcher, desired func() ([]Instance, bool), logger *slog.Logger) *Registrar {
	r := &Registrar{client: client, watcher: watcher, desired: desired, logger: logger, wake: make(chan struct{}, 1),
		// Two gateways that see Kubernetes differently for a moment must not argue at full speed.
		limit: rate.NewLimiter(10, 10)}
	watcher.OnChange(r.Wake)
	return r
}

// Wake says that something changed. It never blocks.
func (r *Registrar) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run mirrors until the context ends. The entries stay: other gateways, or this one when it is back, renew their lease. What
// etcd refuses is retried with exponential backoff, at most every 30 seconds, and at once when something changes.
func (r *Registrar) Run(ctx context.Context) error {
	renew, retry := time.NewTicker(leaseTTL/4), time.NewTimer(leaseTTL)
	defer renew.Stop()
	defer retry.Stop()
	for wait := minWriteBackoff; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-renew.C:
		case <-r.wake:
		case <-retry.C:
		}
		if err := r.limit.Wait(ctx); err != nil {
			return nil
		}
		err := r.pass(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			wait = minWriteBackoff
			continue
		}
		r.logger.WarnContext(ctx, "registry is not up to date", "error", err.Error(), "retry_in", wait.String())
		retry.Reset(wait)
		wait = min(2*wait, maxWriteBackoff)
	}
}

// Written reports whether etcd holds what Kubernetes runs, and if not, since when not and why; both are zero before the first
// attempt.
func (r *Registrar) Written() (yes bool, since time.Time, reason error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.written, r.failing, r.reason
}

func (r *Registrar) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written, r.reason = err == nil, err
	switch {
	case err == nil:
		r.failing = time.Time{}
	case r.failing.IsZero():
		r.failing = time.Now()
	}
}

// pass brings etcd to what Kubernetes runs.
func (r *Registrar) pass(ctx context.Context) error {
	desired, known := r.desired()
	view, watched := r.watcher.View()
	if !known || !watched {
		return nil
	}
	err := r.write(ctx, desired, view)
	r.note(err)
	return err
}

func (r *Registrar) write(ctx context.Context, desired []Instance, view map[string]Entry) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := r.renew(ctx); err != nil {
		return err
	}
	puts, deletes := compare(desired, view)
	revision, err := r.put(ctx, puts)
	if err != nil {
		return err
	}
	if err := r.remove(ctx, deletes, view); err != nil {
		return err
	}
	r.settle(ctx, revision)
	return nil
}

// compare lists the instances to write and the keys to remove.
func compare(desired []Instance, view map[string]Entry) (puts []Instance, deletes []string) {
	wanted := map[string]bool{}
	for _, i := range desired {
		key := i.Key()
		if wanted[key] {
			continue
		}
		wanted[key] = true
		if e, ok := view[key]; !ok || e.Lease != leaseID || e.Value != string(i.Encode()) {
			puts = append(puts, i)
		}
	}
	for key, e := range view {
		if len(e.Instances) == 1 && e.Instances[0].Mirrored && !wanted[key] {
			deletes = append(deletes, key)
		}
	}
	return puts, deletes
}

// renew keeps the shared lease alive, and makes it where there is none.
func (r *Registrar) renew(ctx context.Context) error {
	_, err := r.client.KeepAliveOnce(ctx, leaseID)
	if err == nil {
		return nil
	}
	if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("renew the registrar's lease: %w", err)
	}
	_, err = clientv3.RetryLeaseClient(r.client).LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: int64(leaseID), TTL: int64(leaseTTL.Seconds())})
	if err = rpctypes.Error(err); err != nil && !errors.Is(err, rpctypes.ErrLeaseExist) {
		return fmt.Errorf("make the registrar's lease: %w", err)
	}
	return nil
}

func (r *Registrar) put(ctx context.Context, instances []Instance) (revision int64, err error) {
	for len(instances) > 0 {
		n := min(len(instances), maxOps)
		ops := make([]clientv3.Op, 0, n)
		for _, i := range instances[:n] {
			ops = append(ops, clientv3.OpPut(i.Key(), string(i.Encode()), clientv3.WithLease(leaseID)))
		}
		resp, err := r.client.Txn(ctx).Then(ops...).Commit()
		if err != nil {
			return 0, fmt.Errorf("register %d instances: %w", n, err)
		}
		revision, instances = resp.Header.Revision, instances[n:]
	}
	return revision, nil
}

// remove deletes keys that nobody has written since the view: another gateway may know better by now.
func (r *Registrar) remove(ctx context.Context, keys []string, view map[string]Entry) error {
	for _, key := range keys {
		_, err := r.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", view[key].Revision)).
			Then(clientv3.OpDelete(key)).Commit()
		if err != nil {
			return fmt.Errorf("take %s out of the registry: %w", clip(key), err)
		}
	}
	return nil
}

// settle waits until the watcher has seen our own writes, so that the next pass does not make them again.
func (r *Registrar) settle(ctx context.Context, revision int64) {
	for range 100 {
		if r.watcher.Revision() >= revision || ctx.Err() != nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}
