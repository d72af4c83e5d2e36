package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// WatchLease is the lease of whoever watches the regions' gateways. Only its holder records what it sees.
const WatchLease = "watch"

// unwatched is how long the lease may stand still before the platform says that nobody watches.
const unwatched = time.Minute

// ServiceHealth is how a service is in a region, platform/name. Without Health it is not known, and what was is forgotten.
type ServiceHealth struct {
	Service release.Key
	Region  string
	Health  *release.Health
}

func (h ServiceHealth) row() healthRow {
	return healthRow{Project: h.Service.Project, Service: h.Service.Name, Region: h.Region}
}

// ServicesHealth returns what is recorded of the services' health.
func (s *Store) ServicesHealth(ctx context.Context) ([]ServiceHealth, error) {
	var rows []healthRow
	if err := s.read.NewSelect().Model(&rows).Where("project <> ''").Scan(ctx); err != nil {
		return nil, s.explain(err, "read the services' health")
	}
	all := make([]ServiceHealth, len(rows))
	for i, row := range rows {
		h, err := decode[release.Health](row.Doc)
		if err != nil {
			return nil, err
		}
		all[i] = ServiceHealth{Service: release.Key{Project: row.Project, Name: row.Service}, Region: row.Region, Health: &h}
	}
	return all, nil
}

// RecordHealth writes how services are now; what is recorded already is not written again. When one turns from well to not well, or
// back, that is told as the event "service.degraded" or "service.recovered"; one that is forgotten while it is not well has recovered. by is the lease of whoever saw it.
func (s *Store) RecordHealth(ctx context.Context, by Lease, now []ServiceHealth) error {
	return s.transact(ctx, "record the services' health", func(ctx context.Context, tx bun.Tx) error {
		if err := held(ctx, tx, by); err != nil {
			return err
		}
		for _, h := range now {
			if err := s.recordHealth(ctx, tx, h); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) recordHealth(ctx context.Context, tx bun.Tx, h ServiceHealth) error {
	row := h.row()
	if h.Health == nil {
		return s.forgetHealth(ctx, tx, h)
	}
	after := *h.Health
	after.Message, after.Instances = clean(after.Message), slices.Clone(after.Instances)
	for i := range after.Instances {
		after.Instances[i].Message, after.Instances[i].Said = clean(after.Instances[i].Message), clean(after.Instances[i].Said)
	}
	before, known, err := findHealth[release.Health](ctx, tx, row)
	if err != nil {
		return err
	}
	wasWell := !known || before.Well // of one that was not looked at yet, only bad news is news
	if after.Since = before.Since; !known || before.Well != after.Well {
		after.Since = s.now()
	}
	if known && reflect.DeepEqual(before, after) {
		return nil
	}
	if err := writeHealth(ctx, tx, row, after); err != nil || wasWell == after.Well {
		return err
	}
	if after.Well {
		return s.tell(ctx, tx, h.event(event.ServiceWell.Ends, h.Region))
	}
	return s.tell(ctx, tx, h.event(event.ServiceWell.Begins, h.Region+": "+after.Message))
}

func (h ServiceHealth) event(kind, message string) event.Event {
	return event.Event{Project: h.Service.Project, Kind: kind, Subject: h.Service.String(), Region: h.Region, Message: message}
}

// forgetHealth ends what was told of a service that is not meant to run in the region any more.
func (s *Store) forgetHealth(ctx context.Context, tx bun.Tx, h ServiceHealth) error {
	row := h.row()
	before, known, err := findHealth[release.Health](ctx, tx, row)
	if err != nil || !known {
		return err
	}
	if _, err := tx.NewDelete().Model(&row).WherePK().Exec(ctx); err != nil || before.Well {
		return err
	}
	return s.tell(ctx, tx, h.event(event.ServiceWell.Ends, h.Region+": it is not meant to run there now"))
}

func findHealth[T any](ctx context.Context, db bun.IDB, row healthRow) (found T, known bool, err error) {
	err = db.NewSelect().Model(&row).WherePK().Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return found, false, nil
	}
	if err == nil {
		found, err = decode[T](row.Doc)
	}
	return found, err == nil, err
}

func writeHealth(ctx context.Context, tx bun.Tx, row healthRow, doc any) (err error) {
	if row.Doc, err = encode(doc); err != nil {
		return err
	}
	_, err = tx.NewInsert().Model(&row).On("CONFLICT (project, service, region) DO UPDATE").Set("doc = EXCLUDED.doc").Exec(ctx)
	return err
}

// RecordSight writes how a region (platform/name) answers from outside, or, without a name, whether any of them does; nil forgets it. A
// turn is told as the event "region.unreachable" or "region.reachable", and "regions.unseen" or "regions.seen". One that is forgotten
// while it does not answer is told to be over.
func (s *Store) RecordSight(ctx context.Context, by Lease, name string, now *region.Sight) error {
	return s.transact(ctx, "record what is seen of region "+name, func(ctx context.Context, tx bun.Tx) error {
		if err := held(ctx, tx, by); err != nil {
			return err
		}
		row := healthRow{Region: name}
		before, known, err := findHealth[region.Sight](ctx, tx, row)
		if err != nil {
			return err
		}
		if now == nil {
			if _, err := tx.NewDelete().Model(&row).WherePK().Exec(ctx); err != nil || !known || before.Well {
				return err
			}
			return s.tell(ctx, tx, seen(name, true, "it is not watched any more"))
		}
		wasWell, after := !known || before.Well, region.Sight{Well: now.Well, Message: clean(now.Message), Since: before.Since}
		if !known || before.Well != after.Well {
			after.Since = s.now()
		}
		if err := writeHealth(ctx, tx, row, after); err != nil || wasWell == after.Well {
			return err
		}
		return s.tell(ctx, tx, seen(name, after.Well, after.Message))
	})
}

// seen is the event of a turn of what is seen of a region, or without a name of all of them.
func seen(name string, well bool, message string) event.Event {
	turn := event.RegionReach
	if name == "" {
		turn = event.RegionsSeen
	}
	e := event.Event{Kind: turn.Begins, Subject: name, Region: name, Message: message}
	if well {
		e.Kind = turn.Ends
	}
	return e
}

// Outlook returns what is seen of the regions from outside.
func (s *Store) Outlook(ctx context.Context) (region.Outlook, error) {
	o := region.Outlook{Sights: map[string]region.Sight{}}
	var rows []healthRow
	if err := s.read.NewSelect().Model(&rows).Where("project = ''").Scan(ctx); err != nil {
		return o, s.explain(err, "read what is seen of the regions")
	}
	for _, row := range rows {
		sight, err := decode[region.Sight](row.Doc)
		switch {
		case err != nil:
			return o, err
		case row.Region != "":
			o.Sights[row.Region] = sight
		case !sight.Well:
			o.Unseen = &region.Unseen{Since: sight.Since, Why: sight.Message}
		}
	}
	lease, err := findLease(ctx, s.read, WatchLease)
	if err != nil {
		return o, s.explain(err, "read who watches the regions")
	}
	if at := lease.RenewedAt.UTC(); !at.IsZero() && s.now().Sub(at) > unwatched {
		o.Unseen = &region.Unseen{Since: at, Why: "no flows worker watches them; start one (m3o worker --queues flows)"}
	}
	return o, nil
}

// RunningServices returns all services that have a release that is meant to run, as their owners recorded them, and those of their
// releases that are on their way.
func (s *Store) RunningServices(ctx context.Context) ([]release.Service, []release.Release, error) {
	var rows []serviceRow
	if err := s.read.NewSelect().Model(&rows).Where("status = ?", string(release.Running)).Scan(ctx); err != nil {
		return nil, nil, s.explain(err, "list the running services")
	}
	services := make([]release.Service, len(rows))
	for i, row := range rows {
		var err error
		if services[i], err = decode[release.Service](row.Doc); err != nil {
			return nil, nil, fmt.Errorf("list the running services: %w", err)
		}
	}
	var begun []releaseRow
	if err := s.read.NewSelect().Model(&begun).Where("status = ?", string(release.Deploying)).Scan(ctx); err != nil {
		return nil, nil, s.explain(err, "list the releases on their way")
	}
	releases := make([]release.Release, len(begun))
	for i, row := range begun {
		var err error
		if releases[i], err = decode[release.Release](row.Doc); err != nil {
			return nil, nil, fmt.Errorf("list the releases on their way: %w", err)
		}
	}
	return services, releases, nil
}

// overlay adds how the services are now, where that is known of the release that is meant to run. They are in the order of their names.
func (s *Store) overlay(ctx context.Context, services []release.Service) error {
	if len(services) == 0 {
		return nil
	}
	first, last := services[0].Key, services[len(services)-1].Key
	var rows []healthRow
	err := s.read.NewSelect().Model(&rows).Where("project > ? OR project = ? AND service >= ?", first.Project, first.Project, first.Name).
		Where("project < ? OR project = ? AND service <= ?", last.Project, last.Project, last.Name).Scan(ctx)
	if err != nil {
		return s.explain(err, "read the services' health")
	}
	found := map[release.Key]map[string]*release.Health{}
	for _, row := range rows {
		h, err := decode[release.Health](row.Doc)
		if err != nil {
			return err
		}
		key := release.Key{Project: row.Project, Name: row.Service}
		if found[key] == nil {
			found[key] = map[string]*release.Health{}
		}
		found[key][row.Region] = &h
	}
	for i := range services {
		degrade(&services[i], found[services[i].Key])
	}
	return nil
}

// degrade adds a service's health by region.
func degrade(v *release.Service, found map[string]*release.Health) {
	var why []string
	for i, p := range v.Regions {
		h := found[p.Region]
		if h == nil || h.Release != v.Current || p.Status != release.Ready {
			continue
		}
		if v.Regions[i].Health = h; !h.Well {
			why = append(why, p.Region+": "+h.Message)
		}
	}
	if v.Status != release.Running || len(why) == 0 {
		return
	}
	if v.Status = release.Degraded; v.Message != "" {
		why = append(why, v.Message)
	}
	v.Message = strings.Join(why, "; ")
}
