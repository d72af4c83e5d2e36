package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// epochKey holds a random word that is written once. When it is gone or another, etcd has lost its data: neither the ids of
// a cluster nor its revisions tell that reliably, since a new one may have the same ids and overtake the old revision.
const epochKey = "/m3o/registry/epoch"

// How the watcher looks at etcd.
const (
	pageSize    = 500
	callTimeout = 5 * time.Second
	pulse       = 2 * time.Second // between two looks at the epoch
	maxBackoff  = 5 * time.Second
	// maxWriteBackoff is between two writes to an etcd that refuses them.
	maxWriteBackoff = 30 * time.Second
)

// grace is how long entries are kept after etcd lost them along with all its data: go-micro services register anew every
// 30 seconds, and until then the last known address is the best there is.
const grace = 90 * time.Second

var (
	errLost   = errors.New("etcd has lost its data")
	errClosed = errors.New("etcd ended the watch")
)

// Entry is one key of the registry. Unsound values have no instances.
type Entry struct {
	Lease     clientv3.LeaseID
	Revision  int64
	Value     string
	Instances []Instance
	until     time.Time // set for an entry that etcd has lost: when to forget it
}

// Watcher follows the registry. It keeps what it last knew while etcd is away.
type Watcher struct {
	client   *clientv3.Client
	project  string
	logger   *slog.Logger
	onChange []func()

	mu       sync.Mutex
	entries  map[string]Entry
	revision int64
	epoch    string
	watched  bool // once the first list is in
	away     time.Time

	// When an epoch is to be begun again, and how long that was waited for; only Run's goroutine knows them.
	tryEpoch  time.Time
	epochWait time.Duration
}

// NewWatcher makes a watcher; names without a project belong to the given one.
func NewWatcher(client *clientv3.Client, project string, logger *slog.Logger) *Watcher {
	return &Watcher{client: client, project: project, logger: logger, entries: map[string]Entry{}}
}

// OnChange adds a function that is called after every change. It must be fast, and set before Run.
func (w *Watcher) OnChange(f func()) { w.onChange = append(w.onChange, f) }

// Watched reports whether the registry has been read, and since when etcd does not answer (zero when it does).
func (w *Watcher) Watched() (bool, time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.watched, w.away
}

// Instances are all sound instances the registry holds.
func (w *Watcher) Instances() []Instance {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []Instance
	for _, e := range w.entries {
		all = append(all, e.Instances...)
	}
	return all
}

// View is what etcd itself holds, by key, without what is only remembered; false until it has been read.
func (w *Watcher) View() (map[string]Entry, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	entries := maps.Clone(w.entries)
	maps.DeleteFunc(entries, func(_ string, e Entry) bool { return !e.until.IsZero() })
	return entries, w.watched
}

// Revision is the newest revision of etcd that the watcher has seen.
func (w *Watcher) Revision() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.revision
}

// Run follows the registry until the context ends.
func (w *Watcher) Run(ctx context.Context) error {
	backoff := 100 * time.Millisecond
	for ctx.Err() == nil {
		began := time.Now()
		err := w.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > maxBackoff {
			backoff = 100 * time.Millisecond
		}
		w.logger.WarnContext(ctx, "registry is read anew", "reason", err.Error(), "in", backoff.String())
		w.answered(false)
		select {
		case <-ctx.Done():
		case <-time.After(backoff):
		}
		backoff = min(backoff*2, maxBackoff)
	}
	return nil
}

// session lists the registry and follows it until something breaks.
func (w *Watcher) session(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	epoch, err := w.readEpoch(ctx)
	if err != nil {
		return err
	}
	entries, revision, err := w.list(ctx)
	if err != nil {
		return err
	}
	w.replace(epoch, entries, revision)
	return w.follow(ctx, revision+1)
}

// readEpoch reads the epoch, and begins one where there is none. Without one, because etcd takes no writes, it is empty: the
// registry can be read all the same, and look goes on trying.
func (w *Watcher) readEpoch(ctx context.Context) (string, error) {
	read, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := w.client.Get(read, epochKey)
	if err != nil {
		return "", fmt.Errorf("read the registry's epoch: %w", err)
	}
	if len(resp.Kvs) == 1 {
		return string(resp.Kvs[0].Value), nil
	}
	epoch, err := w.beginEpoch(ctx)
	if err != nil {
		w.logger.WarnContext(ctx, "etcd takes no writes: its registry is read without an epoch", "error", err.Error())
	}
	return epoch, nil
}

// beginEpoch writes an epoch, unless somebody else was faster, and returns the one there is. A full etcd refuses that even
// where there is nothing to write.
func (w *Watcher) beginEpoch(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := w.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(epochKey), "=", 0)).
		Then(clientv3.OpPut(epochKey, rand.Text()), clientv3.OpGet(epochKey)).Else(clientv3.OpGet(epochKey)).Commit()
	if err != nil {
		return "", fmt.Errorf("begin the registry's epoch: %w", err)
	}
	kvs := resp.Responses[len(resp.Responses)-1].GetResponseRange().Kvs
	if len(kvs) != 1 {
		return "", errLost
	}
	return string(kvs[0].Value), nil
}

// list reads the registry in pages, all at one revision.
func (w *Watcher) list(ctx context.Context) (map[string]Entry, int64, error) {
	entries, from, revision := map[string]Entry{}, Prefix, int64(0)
	for {
		page, err := w.page(ctx, from, revision)
		if err != nil {
			return nil, 0, fmt.Errorf("list the registry: %w", err)
		}
		if revision == 0 {
			revision = page.Header.Revision
		}
		for _, kv := range page.Kvs {
			entries[string(kv.Key)] = w.entry(string(kv.Key), kv.Value, kv.Lease, kv.ModRevision)
		}
		if !page.More || len(page.Kvs) == 0 {
			return entries, revision, nil
		}
		from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}
}

func (w *Watcher) page(ctx context.Context, from string, revision int64) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return w.client.Get(ctx, from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(Prefix)), clientv3.WithLimit(pageSize), clientv3.WithRev(revision))
}

func (w *Watcher) entry(key string, value []byte, lease, revision int64) Entry {
	instances, err := Parse(key, value, w.project)
	if err != nil {
		w.logger.Debug("registered value is passed over", "key", clip(key), "reason", err.Error())
	}
	return Entry{Lease: clientv3.LeaseID(lease), Revision: revision, Value: string(value), Instances: instances}
}

// replace takes a whole list. After a loss of data, what is missing is remembered for a while.
func (w *Watcher) replace(epoch string, entries map[string]Entry, revision int64) {
	w.mu.Lock()
	lost := w.epoch != "" && w.epoch != epoch
	until := time.Now().Add(grace)
	for key, e := range w.entries {
		if _, present := entries[key]; present || (!lost && e.until.IsZero()) {
			continue
		}
		if e.until.IsZero() {
			e.until = until
		}
		entries[key] = e
	}
	w.entries, w.revision, w.epoch, w.watched, w.away = entries, revision, epoch, true, time.Time{}
	w.mu.Unlock()
	if lost {
		w.logger.Warn("etcd has lost the registry; what was known is kept for a while", "grace", grace.String())
	}
	w.changed()
}

// follow applies events until the watch breaks or etcd turns out to have lost its data.
func (w *Watcher) follow(ctx context.Context, from int64) error {
	// To open a watch takes as long as etcd is away, and that must be noticed meanwhile.
	opened := make(chan clientv3.WatchChan, 1)
	go func() {
		opened <- w.client.Watch(clientv3.WithRequireLeader(ctx), Prefix, clientv3.WithPrefix(), clientv3.WithRev(from))
	}()
	var events clientv3.WatchChan
	ticker := time.NewTicker(pulse)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case events = <-opened:
		case resp, ok := <-events:
			if !ok {
				return errClosed
			}
			if err := resp.Err(); err != nil { // compaction is one of them: the list begins anew
				return fmt.Errorf("watch the registry: %w", err)
			}
			w.apply(resp)
		case <-ticker.C:
			if err := w.look(ctx); err != nil {
				return err
			}
		}
	}
}

func (w *Watcher) apply(resp clientv3.WatchResponse) {
	w.mu.Lock()
	for _, event := range resp.Events {
		key := string(event.Kv.Key)
		if event.Type == clientv3.EventTypeDelete {
			delete(w.entries, key)
			continue
		}
		w.entries[key] = w.entry(key, event.Kv.Value, event.Kv.Lease, event.Kv.ModRevision)
	}
	w.revision = max(w.revision, resp.Header.Revision)
	w.mu.Unlock()
	if len(resp.Events) > 0 {
		w.changed()
	}
}

// look asks whether this is still the etcd we know, and forgets what has been remembered for long enough. An etcd that
// does not answer is no reason to forget anything: the client connects again by itself.
func (w *Watcher) look(ctx context.Context) error {
	ask, cancel := context.WithTimeout(ctx, pulse)
	defer cancel()
	resp, err := w.client.Get(ask, epochKey)
	if err != nil {
		w.answered(false)
		return nil
	}
	w.answered(true)
	w.mu.Lock()
	epoch, revision := w.epoch, w.revision
	w.mu.Unlock()
	kvs := resp.Kvs
	switch {
	case resp.Header.Revision < revision:
		return errLost
	case epoch == "":
		w.adopt(ctx, kvs)
	case len(kvs) != 1 || string(kvs[0].Value) != epoch:
		return errLost
	}
	w.forget(time.Now())
	return nil
}

// adopt takes the epoch that somebody has begun meanwhile, or begins one, with exponential backoff while etcd refuses it.
func (w *Watcher) adopt(ctx context.Context, kvs []*mvccpb.KeyValue) {
	var epoch string
	switch {
	case len(kvs) == 1:
		epoch = string(kvs[0].Value)
	case time.Now().Before(w.tryEpoch):
		return
	default:
		var err error
		if epoch, err = w.beginEpoch(ctx); err != nil {
			w.epochWait = min(max(2*w.epochWait, pulse), maxWriteBackoff)
			w.tryEpoch = time.Now().Add(w.epochWait)
			return
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.epoch, w.epochWait = epoch, 0
}

func (w *Watcher) forget(now time.Time) {
	w.mu.Lock()
	before := len(w.entries)
	maps.DeleteFunc(w.entries, func(_ string, e Entry) bool { return !e.until.IsZero() && now.After(e.until) })
	gone := before != len(w.entries)
	w.mu.Unlock()
	if gone {
		w.changed()
	}
}

func (w *Watcher) answered(yes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if yes {
		w.away = time.Time{}
	} else if w.away.IsZero() {
		w.away = time.Now()
	}
}

func (w *Watcher) changed() {
	for _, f := range w.onChange {
		f()
	}
}
