package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

// RecordService writes what is now known of a service. A record that is older than what is there is ignored; one of
// the same version replaces it, see the package. A change of status or message is told as the event "service.<status>". A newer
// record of a killed service revives it.
func (s *Store) RecordService(ctx context.Context, v release.Service) error {
	return s.transact(ctx, "record service "+v.Key.String(), func(ctx context.Context, tx bun.Tx) error {
		old, known, err := findService(ctx, tx, v.Key)
		if err != nil || known && v.Version < old.Version {
			return err
		}
		row, err := s.serviceRow(v, old, known)
		if err != nil {
			return err
		}
		_, err = tx.NewInsert().Model(&row).On("CONFLICT (project, name) DO UPDATE").Set("status = EXCLUDED.status").
			Set("message = EXCLUDED.message").Set("version = EXCLUDED.version").Set("doc = EXCLUDED.doc").Exec(ctx)
		if err != nil || known && old.Status == row.Status && old.Message == row.Message {
			return err
		}
		return s.tell(ctx, tx, event.Event{Project: v.Key.Project, Kind: "service." + row.Status, Subject: v.Key.String(), Message: row.Message})
	})
}

func (s *Store) serviceRow(v release.Service, old serviceRow, known bool) (serviceRow, error) {
	if known && release.ServiceStatus(old.Status) != release.Killed {
		before, err := decode[release.Service](old.Doc)
		if err != nil {
			return serviceRow{}, err
		}
		v.CreatedAt = before.CreatedAt
	}
	v.CreatedAt, v.UpdatedAt = s.orNow(v.CreatedAt), s.orNow(v.UpdatedAt)
	v.Message = clean(v.Message)
	doc, err := encode(v)
	return serviceRow{Project: v.Key.Project, Name: v.Key.Name, Status: string(v.Status), Message: v.Message, Version: v.Version, Doc: doc}, err
}

func findService(ctx context.Context, db bun.IDB, key release.Key) (row serviceRow, known bool, err error) {
	err = db.NewSelect().Model(&row).Where("project = ? AND name = ?", clean(key.Project), clean(key.Name)).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return row, false, nil
	}
	return row, err == nil, err
}

// Service returns what is known of a service, and how it is now. For one that is not there, or was killed, the error says which there are.
func (s *Store) Service(ctx context.Context, key release.Key) (release.Service, error) {
	row, known, err := findService(ctx, s.read, key)
	switch {
	case err != nil:
		return release.Service{}, s.explain(err, "read service "+key.String())
	case !known || release.ServiceStatus(row.Status) == release.Killed:
		return release.Service{}, s.noService(ctx, key)
	}
	found := make([]release.Service, 1)
	if found[0], err = decode[release.Service](row.Doc); err != nil {
		return release.Service{}, fmt.Errorf("read service %s: %w", key, err)
	}
	return found[0], s.overlay(ctx, found)
}

// ServiceHistory returns the last record of a service, of one that was killed too and zero when there is none, and its
// newest releases (a page of them, and the one that is meant to run) in the order of their numbers: who owns the service after
// its owner was lost goes on from there.
func (s *Store) ServiceHistory(ctx context.Context, key release.Key) (release.Service, []release.Release, error) {
	row, known, err := findService(ctx, s.read, key)
	if err != nil {
		return release.Service{}, nil, s.explain(err, "read service "+key.String())
	}
	var service release.Service
	if known {
		if service, err = decode[release.Service](row.Doc); err != nil {
			return release.Service{}, nil, fmt.Errorf("read service %s: %w", key, err)
		}
	}
	newest, _, err := s.Releases(ctx, key, Page{Limit: MaxLimit})
	if err != nil {
		return service, nil, err
	}
	slices.Reverse(newest)
	if service.Current > 0 && len(newest) > 0 && service.Current < newest[0].Number {
		current, err := s.Release(ctx, key, service.Current)
		if err != nil {
			return service, nil, err
		}
		newest = append([]release.Release{current}, newest...)
	}
	return service, newest, nil
}

func (s *Store) noService(ctx context.Context, key release.Key) error {
	var names []string
	err := s.read.NewSelect().Model((*serviceRow)(nil)).Column("name").Where("project = ? AND status <> ?", clean(key.Project), string(release.Killed)).
		Order("name").Limit(MaxLimit).Scan(ctx, &names)
	if err != nil {
		return s.explain(err, "list the services")
	}
	return fault.New(fault.NotFound, "there is no service %q in project %q%s; %s", clean(key.Name), clean(key.Project),
		fault.DidYouMean(clean(key.Name), names), thereIs("service", names))
}

// Services returns the services of a project, or of all when project is empty, in the order of their names, without those
// that were killed, and how they are now; and the cursor of the next page.
func (s *Store) Services(ctx context.Context, project string, page Page) ([]release.Service, string, error) {
	list := "services/" + project
	limit, err := page.limit()
	if err != nil {
		return nil, "", err
	}
	from, has, err := after[release.Key](page, list)
	if err != nil {
		return nil, "", err
	}
	var rows []serviceRow
	query := s.read.NewSelect().Model(&rows).Where("status <> ?", string(release.Killed)).Order("project", "name").Limit(int64(limit) + 1)
	if project != "" {
		query.Where("project = ?", clean(project))
	}
	if has {
		query.Where("project > ? OR project = ? AND name > ?", clean(from.Project), clean(from.Project), clean(from.Name))
	}
	if err := query.Scan(ctx); err != nil {
		return nil, "", s.explain(err, "list the services")
	}
	rows, last := cut(rows, limit)
	services := make([]release.Service, len(rows))
	for i, row := range rows {
		if services[i], err = decode[release.Service](row.Doc); err != nil {
			return nil, "", fmt.Errorf("list the services: %w", err)
		}
	}
	if err := s.overlay(ctx, services); err != nil {
		return nil, "", err
	}
	if last == nil {
		return services, "", nil
	}
	cursor, err := cursorAfter(list, release.Key{Project: last.Project, Name: last.Name})
	return services, cursor, err
}

// AllServices returns every service that was not killed, of all projects.
func (s *Store) AllServices(ctx context.Context) ([]release.Service, error) {
	var all []release.Service
	for page := (Page{Limit: MaxLimit}); ; {
		services, next, err := s.Services(ctx, "", page)
		if err != nil {
			return nil, err
		}
		all = append(all, services...)
		if page.Cursor = next; next == "" {
			return all, nil
		}
	}
}
