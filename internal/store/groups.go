package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/alert"
)

// RelayLease is the lease of whoever relays signals to the workflows of alerts. Its cursors move with it alone.
const RelayLease = "relay"

// The cursors of the relay, and what each reads.
const (
	SignalCursor    = "signals"
	CallbackCursor  = "callbacks"
	EventCursor     = "events"
	HeartbeatCursor = "heartbeats" // in milliseconds since 1970: when heartbeats were last checked
)

type keyRow struct {
	bun.BaseModel `bun:"table:alert_keys"`

	Project  string `bun:",pk"`
	DedupKey string `bun:",pk"`
	Group    string `bun:"alert_group"`
	Firing   bool
	Grade    int
	FirstAt  time.Time
	LastAt   time.Time
	Doc      string // an alert.Key
}

type groupRow struct {
	bun.BaseModel `bun:"table:alert_groups"`

	Project         string `bun:",pk"`
	Hash            string `bun:"alert_group,pk"`
	Upto            int64
	Sent            int64
	Pending         int64
	Fired           int64 // of what is pending: how often a key began to fire
	FirstAt         time.Time
	UpdatedAt       time.Time
	Acknowledged    string
	AcknowledgedSeq int64
	RealSeq         int64
	Doc             string // an alert.EscalateInput, without state
}

// GroupRef names a group of a project by its hash.
type GroupRef struct{ Project, Hash string }

// Router says which group a signal that begins to fire belongs to, and which route made it.
type Router func(alert.Signal) (alert.Group, alert.Route)

// RouteSignals brings the signals after the cursor from, in their order, into keys and groups, and moves the cursor past the last one:
// all or none. It returns the groups whose workflows are to be told. A resolve or an acknowledgement of a key that does not
// fire concerns no group.
func (s *Store) RouteSignals(ctx context.Context, by Lease, from int64, signals []alert.Signal, route Router) (touched []GroupRef, err error) {
	if len(signals) == 0 {
		return nil, nil
	}
	err = s.transact(ctx, "route signals", func(ctx context.Context, tx bun.Tx) error {
		if err := moveCursor(ctx, tx, by, SignalCursor, from, signals[len(signals)-1].Seq); err != nil {
			return err
		}
		b := batch{now: s.now(), keys: map[keyRef]alert.Key{}, groups: map[GroupRef]*groupRow{}, made: map[GroupRef]alert.EscalateInput{}}
		if err := b.load(ctx, tx, signals); err != nil {
			return err
		}
		for _, signal := range signals {
			b.take(signal, route)
		}
		if err := b.save(ctx, tx); err != nil {
			return err
		}
		touched = slices.Collect(maps.Keys(b.groups))
		return nil
	})
	return touched, err
}

type keyRef struct{ project, dedup string }

// batch is what a batch of signals changes.
type batch struct {
	now    time.Time
	keys   map[keyRef]alert.Key
	groups map[GroupRef]*groupRow           // what is pending of each, of these signals alone
	made   map[GroupRef]alert.EscalateInput // of groups that a key began to fire in
}

func (b *batch) load(ctx context.Context, tx bun.Tx, signals []alert.Signal) error {
	wanted := map[string][]string{}
	for _, signal := range signals {
		wanted[signal.Project] = append(wanted[signal.Project], signal.DedupKey)
	}
	for project, dedups := range wanted {
		slices.Sort(dedups)
		var rows []keyRow
		if err := tx.NewSelect().Model(&rows).Where("project = ? AND dedup_key IN ?", project, bun.Tuple(slices.Compact(dedups))).Scan(ctx); err != nil {
			return err
		}
		keys, err := keysOf(rows)
		if err != nil {
			return err
		}
		for _, k := range keys {
			b.keys[keyRef{k.Project, k.DedupKey}] = k
		}
	}
	return nil
}

func (b *batch) take(signal alert.Signal, route Router) {
	ref := keyRef{signal.Project, signal.DedupKey}
	before := b.keys[ref]
	if !before.Firing && signal.Action != alert.Trigger {
		return
	}
	after := before.After(signal)
	if signal.Action == alert.Trigger && !before.Firing {
		group, r := route(signal)
		after.Group = group.Hash()
		b.made[GroupRef{signal.Project, after.Group}] = alert.EscalateInput{Group: group, Hash: after.Group, Rules: r}
	}
	b.keys[ref] = after
	g := b.groups[GroupRef{signal.Project, after.Group}]
	if g == nil {
		g = &groupRow{Project: signal.Project, Hash: after.Group, FirstAt: signal.At}
		b.groups[GroupRef{signal.Project, after.Group}] = g
	}
	g.Upto, g.Pending, g.UpdatedAt = signal.Seq, g.Pending+1, b.now
	if after.Firing && !before.Firing {
		g.Fired++
	}
	if signal.Action == alert.Acknowledge {
		g.Acknowledged, g.AcknowledgedSeq = cmp.Or(signal.Summary, string(signal.Source)), signal.Seq
	}
	if signal.Source != alert.FromDrill {
		g.RealSeq = signal.Seq
	}
}

// save takes two statements however much changed, and one for the groups that are known of each project.
func (b *batch) save(ctx context.Context, tx bun.Tx) error {
	if len(b.groups) == 0 {
		return nil
	}
	var keys []keyRow
	for _, k := range b.keys {
		if g := b.groups[GroupRef{k.Project, k.Group}]; g == nil {
			continue
		}
		row, err := rowOfKey(k)
		if err != nil {
			return err
		}
		keys = append(keys, row)
	}
	slices.SortFunc(keys, func(a, b keyRow) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.DedupKey, b.DedupKey))
	})
	_, err := tx.NewInsert().Model(&keys).On("CONFLICT (project, dedup_key) DO UPDATE").Set("alert_group = EXCLUDED.alert_group").Set("firing = EXCLUDED.firing").
		Set("grade = EXCLUDED.grade").Set("first_at = EXCLUDED.first_at").Set("last_at = EXCLUDED.last_at").Set("doc = EXCLUDED.doc").Exec(ctx)
	if err != nil {
		return err
	}
	rows, err := b.merged(ctx, tx)
	if err != nil {
		return err
	}
	_, err = tx.NewInsert().Model(&rows).On("CONFLICT (project, alert_group) DO UPDATE").Set("upto = EXCLUDED.upto").Set("sent = EXCLUDED.sent").
		Set("pending = EXCLUDED.pending").Set("fired = EXCLUDED.fired").Set("first_at = EXCLUDED.first_at").Set("updated_at = EXCLUDED.updated_at").Set("acknowledged = EXCLUDED.acknowledged").
		Set("acknowledged_seq = EXCLUDED.acknowledged_seq").Set("real_seq = EXCLUDED.real_seq").Set("doc = EXCLUDED.doc").Exec(ctx)
	return err
}

// merged are the rows of the batch's groups with what was pending before.
func (b *batch) merged(ctx context.Context, tx bun.Tx) ([]groupRow, error) {
	hashes := map[string][]string{}
	for ref := range b.groups {
		hashes[ref.Project] = append(hashes[ref.Project], ref.Hash)
	}
	var known []groupRow
	for project, wanted := range hashes {
		var rows []groupRow
		if err := tx.NewSelect().Model(&rows).Where("project = ? AND alert_group IN ?", project, bun.Tuple(wanted)).Scan(ctx); err != nil {
			return nil, err
		}
		known = append(known, rows...)
	}
	for _, before := range known {
		g := b.groups[GroupRef{before.Project, before.Hash}]
		if g == nil {
			continue
		}
		g.Sent, g.Doc, g.RealSeq = before.Sent, before.Doc, max(g.RealSeq, before.RealSeq)
		if before.Pending > 0 {
			g.Pending, g.Fired, g.FirstAt = g.Pending+before.Pending, g.Fired+before.Fired, before.FirstAt
		}
		if g.AcknowledgedSeq == 0 {
			g.Acknowledged, g.AcknowledgedSeq = before.Acknowledged, before.AcknowledgedSeq
		}
	}
	rows := make([]groupRow, 0, len(b.groups))
	for ref, g := range b.groups {
		if made, ok := b.made[ref]; ok || g.Doc == "" {
			doc, err := encode(made)
			if err != nil {
				return nil, err
			}
			g.Doc = doc
		}
		rows = append(rows, *g)
	}
	slices.SortFunc(rows, func(a, b groupRow) int { return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Hash, b.Hash)) })
	return rows, nil
}

func rowOfKey(k alert.Key) (keyRow, error) {
	doc, err := encode(k)
	return keyRow{Project: k.Project, DedupKey: k.DedupKey, Group: k.Group, Firing: k.Firing, Grade: k.Severity.Grade(), FirstAt: k.First, LastAt: k.Last, Doc: doc}, err
}

func keysOf(rows []keyRow) ([]alert.Key, error) {
	keys := make([]alert.Key, len(rows))
	for i, r := range rows {
		var err error
		if keys[i], err = decode[alert.Key](r.Doc); err != nil {
			return nil, err
		}
		keys[i].Firing = r.Firing // CloseGroup changes the column alone
	}
	return keys, nil
}

// FiringKeys returns the keys of a project that fire, the worst and oldest first.
func (s *Store) FiringKeys(ctx context.Context, project string) ([]alert.Key, error) {
	return s.keysWhere(ctx, "project = ? AND firing", clean(project))
}

// GroupKeys returns the keys of a group, those that fire and those that fired last in it, the worst and oldest first.
func (s *Store) GroupKeys(ctx context.Context, project, group string) ([]alert.Key, error) {
	return s.keysWhere(ctx, "project = ? AND alert_group = ?", clean(project), clean(group))
}

func (s *Store) keysWhere(ctx context.Context, where string, args ...any) ([]alert.Key, error) {
	var rows []keyRow
	if err := s.read.NewSelect().Model(&rows).Where(where, args...).Order("grade", "first_at", "dedup_key").Scan(ctx); err != nil {
		return nil, s.explain(err, "read the keys of alerts")
	}
	return keysOf(rows)
}

// CloseGroup has the keys of a group fire no more: a person closed its alert. A key that is triggered again begins another alert.
func (s *Store) CloseGroup(ctx context.Context, project, group string) error {
	return s.transact(ctx, "close a group of alerts", func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewUpdate().Model((*keyRow)(nil)).Set("firing = FALSE").Where("project = ? AND alert_group = ? AND firing", clean(project), clean(group)).Exec(ctx)
		return err
	})
}

// FiringGroups returns the groups of a project in which a key fires; without a project, of all.
func (s *Store) FiringGroups(ctx context.Context, project string) ([]GroupRef, error) {
	var rows []keyRow
	query := s.read.NewSelect().Model(&rows).ColumnExpr("DISTINCT project, alert_group").Where("firing")
	if project != "" {
		query.Where("project = ?", clean(project))
	}
	if err := query.Order("project", "alert_group").Scan(ctx); err != nil {
		return nil, s.explain(err, "list the groups that fire")
	}
	refs := make([]GroupRef, len(rows))
	for i, r := range rows {
		refs[i] = GroupRef{r.Project, r.Group}
	}
	return refs, nil
}

// PendingGroups returns the groups whose workflows were not told of every signal yet, the one that waits longest first.
func (s *Store) PendingGroups(ctx context.Context) ([]GroupRef, error) {
	var rows []groupRow
	if err := s.read.NewSelect().Model(&rows).Column("project", "alert_group").Where("pending > 0").Order("first_at").Scan(ctx); err != nil {
		return nil, s.explain(err, "list the groups with news")
	}
	refs := make([]GroupRef, len(rows))
	for i, r := range rows {
		refs[i] = GroupRef{r.Project, r.Hash}
	}
	return refs, nil
}

// Parcel is what a group's workflow is to be told, and what starts the workflow where none runs.
type Parcel struct {
	Input  alert.EscalateInput
	Digest alert.Digest
}

// Ref names the group that it is for.
func (p Parcel) Ref() GroupRef { return GroupRef{p.Input.Group.Project, p.Input.Hash} }

// Digest returns what is pending of a group and how its keys are at that point, as one moment has it. There is none when nothing is
// pending.
func (s *Store) Digest(ctx context.Context, ref GroupRef) (parcel Parcel, pending bool, err error) {
	err = patiently(ctx, func(ctx context.Context) error {
		return s.read.RunInTx(ctx, s.engine.txOptions(), func(ctx context.Context, tx bun.Tx) error {
			parcel, pending, err = digest(ctx, tx, ref)
			return err
		})
	})
	return parcel, pending, s.explain(err, "read what is new of a group")
}

func digest(ctx context.Context, tx bun.Tx, ref GroupRef) (p Parcel, pending bool, err error) {
	row := groupRow{Project: ref.Project, Hash: ref.Hash}
	err = tx.NewSelect().Model(&row).WherePK().Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) || err == nil && row.Pending == 0 {
		return p, false, nil
	}
	if err != nil {
		return p, false, err
	}
	if p.Input, err = decode[alert.EscalateInput](row.Doc); err != nil {
		return p, false, err
	}
	p.Digest = alert.Digest{After: row.Sent, Upto: row.Upto, Signals: row.Pending, Fired: row.Fired, FirstAt: row.FirstAt.UTC(), Drill: row.RealSeq <= row.Sent}
	if row.AcknowledgedSeq > row.Sent {
		p.Digest.Acknowledged = row.Acknowledged
	}
	firing := tx.NewSelect().Model((*keyRow)(nil)).Where("project = ? AND alert_group = ? AND firing", ref.Project, ref.Hash)
	n, err := firing.Count(ctx)
	if err != nil {
		return p, false, err
	}
	p.Digest.Firing = int(n)
	// Keys that fired and ended before anybody was told are told of, too.
	var rows []keyRow
	samples := tx.NewSelect().Model(&rows).Where("project = ? AND alert_group = ?", ref.Project, ref.Hash).Limit(alert.MaxLines)
	if n > 0 || row.Fired == 0 {
		samples.Where("firing").Order("grade", "first_at", "dedup_key")
	} else {
		samples.Order("last_at DESC", "dedup_key")
	}
	if err = samples.Scan(ctx); err != nil {
		return p, false, err
	}
	keys, err := keysOf(rows)
	for _, k := range keys {
		p.Digest.Samples = append(p.Digest.Samples, k.Sample())
	}
	return p, true, err
}

// MarkSent notes what the groups' workflows were told; by is the relay's lease. What came in meanwhile stays pending.
func (s *Store) MarkSent(ctx context.Context, by Lease, parcels []Parcel) error {
	if len(parcels) == 0 {
		return nil
	}
	return s.transact(ctx, "note what alerts were told", func(ctx context.Context, tx bun.Tx) error {
		if err := held(ctx, tx, by); err != nil {
			return err
		}
		for _, p := range parcels {
			// What is pending beyond the digest came in after it was made, so now is late by a moment.
			_, err := tx.NewUpdate().Model((*groupRow)(nil)).Set("sent = ?", p.Digest.Upto).Set("pending = pending - ?", p.Digest.Signals).Set("fired = fired - ?", p.Digest.Fired).Set("first_at = ?", s.now()).
				Where("project = ? AND alert_group = ? AND sent < ?", p.Input.Group.Project, p.Input.Hash, p.Digest.Upto).Exec(ctx)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// forgetAtOnce is how many rows are forgotten in one transaction: who writes meanwhile waits for no more than that.
const forgetAtOnce = 5000

// ForgetSignals removes the signals and callbacks from before that were relayed, and the keys and groups that have been quiet since. It
// returns how many rows those were.
func (s *Store) ForgetSignals(ctx context.Context, before time.Time) (forgotten int64, err error) {
	before = before.UTC()
	relayed := "time < ? AND seq <= (SELECT value FROM cursors WHERE name = ?)"
	for _, stale := range []func(tx bun.Tx) *bun.DeleteQuery{
		func(tx bun.Tx) *bun.DeleteQuery {
			some := tx.NewSelect().Model((*signalRow)(nil)).Column("seq").Where(relayed, before, SignalCursor).Order("seq").Limit(forgetAtOnce)
			return tx.NewDelete().Model((*signalRow)(nil)).Where("seq IN (?)", some)
		},
		func(tx bun.Tx) *bun.DeleteQuery {
			some := tx.NewSelect().Model((*callbackRow)(nil)).Column("seq").Where(relayed, before, CallbackCursor).Order("seq").Limit(forgetAtOnce)
			return tx.NewDelete().Model((*callbackRow)(nil)).Where("seq IN (?)", some)
		},
		func(tx bun.Tx) *bun.DeleteQuery {
			some := tx.NewSelect().Model((*keyRow)(nil)).Column("project", "dedup_key").Where("last_at < ? AND NOT firing", before).Order("last_at").Limit(forgetAtOnce)
			return tx.NewDelete().Model((*keyRow)(nil)).Where("(project, dedup_key) IN (?)", some)
		},
		func(tx bun.Tx) *bun.DeleteQuery {
			return tx.NewDelete().Model((*groupRow)(nil)).Where("updated_at < ? AND pending = 0", before).
				Where("NOT EXISTS (SELECT 1 FROM alert_keys AS k WHERE k.project = ?TableAlias.project AND k.alert_group = ?TableAlias.alert_group)")
		},
	} {
		n, err := s.forget(ctx, stale)
		if forgotten += n; err != nil {
			return forgotten, err
		}
	}
	return forgotten, nil
}

// forget repeats a delete of some rows until it finds no more.
func (s *Store) forget(ctx context.Context, stale func(tx bun.Tx) *bun.DeleteQuery) (all int64, err error) {
	for n := int64(forgetAtOnce); n >= forgetAtOnce; all += n {
		err := s.transact(ctx, "forget old signals", func(ctx context.Context, tx bun.Tx) error {
			result, err := stale(tx).Exec(ctx)
			if err != nil {
				return err
			}
			n, err = result.RowsAffected()
			return err
		})
		if err != nil {
			return all, err
		}
	}
	return all, nil
}
