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
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// AllocateRelease makes the service's next release for a request and returns it, pending. It has the settings that the request makes of
// those of the release it follows, see release.Request.Over. Numbers are never given twice, not even after the service was killed; the
// same request key gets the same release again. With RollsBack the release repeats the origin, image and spec of that earlier one. A
// project that is suspended, or being removed, gets none.
func (s *Store) AllocateRelease(ctx context.Context, in release.Allocation) (release.Release, error) {
	if in.RequestKey == "" {
		return release.Release{}, fault.New(fault.Invalid, "a release needs the key of its request")
	}
	var made release.Release
	err := s.transact(ctx, "allocate a release of "+in.Request.Service.String(), func(ctx context.Context, tx bun.Tx) error {
		var found bool
		var err error
		if made, found, err = requested(ctx, tx, in.Request.Service, in.RequestKey); err != nil || found {
			return err
		}
		if err := takesWork(ctx, tx, in.Request.Service.Project); err != nil {
			return err
		}
		made, err = s.allocate(ctx, tx, in)
		return err
	})
	return made, err
}

// requested looks for the release that was made for the request before.
func requested(ctx context.Context, tx bun.Tx, key release.Key, requestKey string) (r release.Release, found bool, err error) {
	var row releaseRow
	err = tx.NewSelect().Model(&row).Where("project = ? AND service = ? AND request_key = ?", key.Project, key.Name, clean(requestKey)).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return r, false, nil
	}
	if err != nil {
		return r, false, err
	}
	r, err = decode[release.Release](row.Doc)
	return r, true, err
}

func (s *Store) allocate(ctx context.Context, tx bun.Tx, in release.Allocation) (release.Release, error) {
	r, err := s.made(ctx, tx, in)
	if err != nil {
		return r, err
	}
	number := numberRow{Project: r.Service.Project, Service: r.Service.Name, Last: 1}
	err = tx.NewInsert().Model(&number).On("CONFLICT (project, service) DO UPDATE").Set("last = ?TableAlias.last + 1").
		Returning("last").Scan(ctx, &r.Number)
	if err != nil {
		return r, err
	}
	row, err := rowOfRelease(r)
	if err != nil {
		return r, err
	}
	row.RequestKey = clean(in.RequestKey)
	if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
		return r, err
	}
	return r, s.tellRelease(ctx, tx, r)
}

// made is the release that the request asks for, without a number.
func (s *Store) made(ctx context.Context, tx bun.Tx, in release.Allocation) (release.Release, error) {
	req := in.Request
	r := release.Release{Service: req.Service, Follows: in.Follows, Status: release.Pending, By: req.By, Regions: []release.Placed{},
		CreatedAt: s.now(), UpdatedAt: s.now()}
	if in.RollsBack != 0 {
		earlier, err := s.findRelease(ctx, tx, req.Service, in.RollsBack)
		r.RollsBack, r.Origin, r.Spec, r.InFile, r.Image = in.RollsBack, earlier.Origin, earlier.Spec, earlier.InFile, earlier.Image
		return r, err
	}
	var followed *release.Release
	if in.Follows != 0 {
		found, err := s.findRelease(ctx, tx, req.Service, in.Follows)
		if err != nil {
			return r, err
		}
		followed = &found
	}
	var err error
	r.Spec, r.Origin, r.InFile, err = req.Over(followed)
	return r, err
}

func rowOfRelease(r release.Release) (releaseRow, error) {
	doc, err := encode(r)
	return releaseRow{Project: r.Service.Project, Service: r.Service.Name, Number: r.Number, Status: string(r.Status), Message: r.Message,
		Version: r.Version, Doc: doc}, err
}

func (s *Store) tellRelease(ctx context.Context, tx bun.Tx, r release.Release) error {
	return s.tell(ctx, tx, event.Event{Project: r.Service.Project, Kind: "release." + string(r.Status),
		Subject: fmt.Sprintf("%s/%d", r.Service, r.Number), Message: r.Message})
}

// RecordRelease writes what is now known of an allocated release. A record that is older than what is there is ignored;
// one of the same version replaces it, see the package. A change of status or message is told as the event "release.<status>".
func (s *Store) RecordRelease(ctx context.Context, r release.Release) error {
	what := fmt.Sprintf("record release %s/%d", r.Service, r.Number)
	return s.transact(ctx, what, func(ctx context.Context, tx bun.Tx) error {
		old, err := s.findRelease(ctx, tx, r.Service, r.Number)
		if err != nil || r.Version < old.Version {
			return err
		}
		now := r // fn may run again: the caller's record is left as it is
		now.CreatedAt, now.UpdatedAt = old.CreatedAt, s.orNow(r.UpdatedAt)
		now.Message = clean(r.Message)
		if now.Regions == nil {
			now.Regions = []release.Placed{}
		}
		row, err := rowOfRelease(now)
		if err != nil {
			return err
		}
		_, err = tx.NewUpdate().Model(&row).Column("status", "message", "version", "doc").WherePK().Exec(ctx)
		if err != nil || old.Status == now.Status && old.Message == now.Message {
			return err
		}
		return s.tellRelease(ctx, tx, now)
	})
}

func (s *Store) findRelease(ctx context.Context, db bun.IDB, key release.Key, number int) (release.Release, error) {
	var row releaseRow
	err := db.NewSelect().Model(&row).Where("project = ? AND service = ? AND number = ?", clean(key.Project), clean(key.Name), number).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return release.Release{}, noRelease(ctx, db, key, number)
	}
	if err != nil {
		return release.Release{}, err
	}
	return decode[release.Release](row.Doc)
}

func noRelease(ctx context.Context, db bun.IDB, key release.Key, number int) error {
	var last int
	err := db.NewSelect().Model((*numberRow)(nil)).Column("last").Where("project = ? AND service = ?", clean(key.Project), clean(key.Name)).Scan(ctx, &last)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fault.New(fault.NotFound, "service %q was never released in project %q", clean(key.Name), clean(key.Project))
	case err != nil:
		return err
	}
	return fault.New(fault.NotFound, "service %q has no release %d; its newest is %d", key.Name, number, last)
}

// Release returns one release of a service.
func (s *Store) Release(ctx context.Context, key release.Key, number int) (release.Release, error) {
	r, err := s.findRelease(ctx, s.read, key, number)
	return r, s.explain(err, fmt.Sprintf("read release %s/%d", key, number))
}

// Releases returns the releases of a service, newest first, and the cursor of the next page.
func (s *Store) Releases(ctx context.Context, key release.Key, page Page) ([]release.Release, string, error) {
	list := "releases/" + key.String()
	limit, err := page.limit()
	if err != nil {
		return nil, "", err
	}
	before, has, err := after[int](page, list)
	if err != nil {
		return nil, "", err
	}
	var rows []releaseRow
	query := s.read.NewSelect().Model(&rows).Where("project = ? AND service = ?", clean(key.Project), clean(key.Name)).
		Order("number DESC").Limit(int64(limit) + 1)
	if has {
		query.Where("number < ?", before)
	}
	if err := query.Scan(ctx); err != nil {
		return nil, "", s.explain(err, "list the releases of "+key.String())
	}
	rows, last := cut(rows, limit)
	releases, err := decodeReleases(rows)
	if err != nil || last == nil {
		return releases, "", err
	}
	cursor, err := cursorAfter(list, last.Number)
	return releases, cursor, err
}

// RunningReleases returns the releases that are on their way into the region: those being deployed that name it, or no region
// yet and so may go anywhere, and those that are ready elsewhere and being placed there.
func (s *Store) RunningReleases(ctx context.Context, in region.Key) ([]release.Release, error) {
	var rows []releaseRow
	err := s.read.NewSelect().Model(&rows).Where("status IN (?, ?)", string(release.Deploying), string(release.Ready)).Order("project", "service", "number").Scan(ctx)
	if err != nil {
		return nil, s.explain(err, "list the releases that are being deployed")
	}
	releases, err := decodeReleases(rows)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(releases, func(r release.Release) bool { return !r.BoundFor(in) }), nil
}

func decodeReleases(rows []releaseRow) ([]release.Release, error) {
	releases := make([]release.Release, len(rows))
	for i, row := range rows {
		r, err := decode[release.Release](row.Doc)
		if err != nil {
			return nil, fmt.Errorf("read release %s/%s/%d: %w", row.Project, row.Service, row.Number, err)
		}
		releases[i] = r
	}
	return releases, nil
}
