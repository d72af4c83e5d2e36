package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// RecordRegion writes what is now known of a region. A record that is older than what is there is ignored; one of the
// same version replaces it, see the package. A change of status or message is told as the event "region.<status>", and so is when drift
// and limits of its cloud account that are nearly used up begin and end.
func (s *Store) RecordRegion(ctx context.Context, r region.Region) error {
	key := r.Spec.Key()
	return s.transact(ctx, "record region "+key.String(), func(ctx context.Context, tx bun.Tx) error {
		var old regionRow
		err := tx.NewSelect().Model(&old).Where("platform = ? AND name = ?", key.Platform, key.Name).Scan(ctx)
		known := err == nil
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if known && r.Version < old.Version {
			return nil
		}
		row, err := s.regionRow(r, old, known)
		if err != nil {
			return err
		}
		_, err = tx.NewInsert().Model(&row).On("CONFLICT (platform, name) DO UPDATE").Set("status = EXCLUDED.status").
			Set("message = EXCLUDED.message").Set("version = EXCLUDED.version").Set("doc = EXCLUDED.doc").Exec(ctx)
		if err != nil {
			return err
		}
		if !known || old.Status != row.Status || old.Message != row.Message {
			if err := s.tell(ctx, tx, event.Event{Kind: "region." + row.Status, Subject: key.String(), Region: key.String(), Message: row.Message}); err != nil {
				return err
			}
		}
		return s.turnRegion(ctx, tx, r)
	})
}

// turnRegion tells what of a region began to need looking after, or does no more. Whether it drifted is known of one that is ready, and of
// one that is gone.
func (s *Store) turnRegion(ctx context.Context, tx bun.Tx, r region.Region) error {
	c := Condition{Subject: r.Spec.Key().String(), Region: r.Spec.Key().String()}
	if r.Status == region.Ready || r.Status == region.Deleted {
		drift := c
		drift.Message = r.Drift()
		if err := s.tellTurn(ctx, tx, event.RegionDrift, drift, drift.Message != ""); err != nil {
			return err
		}
	}
	c.Message = r.Scarcity()
	return s.tellTurn(ctx, tx, event.QuotaNear, c, c.Message != "" && r.Status != region.Deleted)
}

// regionRow keeps the time of birth of a region that lives; one that is made again after its end is born again.
func (s *Store) regionRow(r region.Region, old regionRow, known bool) (regionRow, error) {
	if known && region.Status(old.Status) != region.Deleted {
		before, err := decode[region.Region](old.Doc)
		if err != nil {
			return regionRow{}, err
		}
		r.CreatedAt = before.CreatedAt
	}
	r.CreatedAt, r.UpdatedAt = s.orNow(r.CreatedAt), s.orNow(r.UpdatedAt)
	r.Message = clean(r.Message)
	doc, err := encode(r)
	return regionRow{Platform: r.Spec.Platform, Name: r.Spec.Name, Status: string(r.Status), Message: r.Message, Version: r.Version, Doc: doc}, err
}

// Region returns what is known of a region, of one that was deleted too: who makes it again goes on from its version.
func (s *Store) Region(ctx context.Context, key region.Key) (region.Region, error) {
	var row regionRow
	err := s.read.NewSelect().Model(&row).Where("platform = ? AND name = ?", clean(key.Platform), clean(key.Name)).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return region.Region{}, s.noRegion(ctx, key.String())
	}
	if err != nil {
		return region.Region{}, s.explain(err, "read region "+key.String())
	}
	return decode[region.Region](row.Doc)
}

// RegionNamed finds the region that alone bears the name on any platform; "platform/name" is understood too.
func (s *Store) RegionNamed(ctx context.Context, name string) (region.Region, error) {
	platform, short, qualified := strings.Cut(name, "/")
	if !qualified {
		platform, short = "", name
	}
	all, err := s.Regions(ctx, platform, false)
	if err != nil {
		return region.Region{}, err
	}
	var found []region.Region
	for _, r := range all {
		if r.Spec.Name == short {
			found = append(found, r)
		}
	}
	switch len(found) {
	case 0:
		return region.Region{}, s.noRegion(ctx, name)
	case 1:
		return found[0], nil
	}
	return region.Region{}, fault.New(fault.Conflict, "%q names several regions: %s; write the platform's name before it", name, enumerate(regionNames(found)))
}

// Regions returns the regions of a platform, or of all when platform is empty, in the order of their names.
func (s *Store) Regions(ctx context.Context, platform string, includeDeleted bool) ([]region.Region, error) {
	var rows []regionRow
	query := s.read.NewSelect().Model(&rows).Order("platform", "name")
	if platform != "" {
		query.Where("platform = ?", clean(platform))
	}
	if !includeDeleted {
		query.Where("status <> ?", string(region.Deleted))
	}
	if err := query.Scan(ctx); err != nil {
		return nil, s.explain(err, "list the regions")
	}
	regions := make([]region.Region, len(rows))
	for i, row := range rows {
		r, err := decode[region.Region](row.Doc)
		if err != nil {
			return nil, fmt.Errorf("list the regions: %w", err)
		}
		regions[i] = r
	}
	return regions, nil
}

func (s *Store) noRegion(ctx context.Context, name string) error {
	all, err := s.Regions(ctx, "", false)
	if err != nil {
		return err
	}
	short := make([]string, len(all))
	for i, r := range all {
		short[i] = r.Spec.Name
	}
	return fault.New(fault.NotFound, "there is no region %q%s; %s", clean(name), fault.DidYouMean(clean(name), append(regionNames(all), short...)), thereIs("region", regionNames(all)))
}

func regionNames(regions []region.Region) []string {
	names := make([]string, len(regions))
	for i, r := range regions {
		names[i] = r.Spec.Key().String()
	}
	return names
}
