package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// SavePlan keeps a plan with the regions it was made from. A plan is never changed: the same id again is ignored.
func (s *Store) SavePlan(ctx context.Context, p region.Plan, wanted []region.Spec) error {
	p.CreatedAt = s.orNow(p.CreatedAt)
	if p.Status == "" {
		p.Status = region.PlanOpen
	}
	doc, err := encode(p)
	if err != nil {
		return err
	}
	specs, err := encode(wanted)
	if err != nil {
		return err
	}
	row := planRow{ID: p.ID, Status: string(p.Status), Doc: doc, Wanted: specs}
	return s.transact(ctx, "save plan "+p.ID, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewInsert().Model(&row).On("CONFLICT (id) DO NOTHING").Exec(ctx)
		return err
	})
}

// Plan returns a plan and the regions it was made from.
func (s *Store) Plan(ctx context.Context, id string) (region.Plan, []region.Spec, error) {
	row, err := findPlan(ctx, s.read, id)
	if err != nil {
		return region.Plan{}, nil, s.explain(err, "read plan "+id)
	}
	p, err := decode[region.Plan](row.Doc)
	if err != nil {
		return region.Plan{}, nil, err
	}
	p.Status = region.PlanStatus(row.Status)
	wanted, err := decode[[]region.Spec](row.Wanted)
	return p, wanted, err
}

// MovePlan changes a plan's status. It is fine when the plan is in the new status already: one workflow alone applies a
// plan, so that is its own earlier attempt. Any other status is a Conflict. The first platform that is applied gets the
// default project.
func (s *Store) MovePlan(ctx context.Context, id string, from, to region.PlanStatus) error {
	return s.transact(ctx, "move plan "+id, func(ctx context.Context, tx bun.Tx) error {
		row, err := findPlan(ctx, tx, id)
		if err != nil {
			return err
		}
		switch region.PlanStatus(row.Status) {
		case to:
			return nil
		case from:
			if _, err := tx.NewUpdate().Model(&row).Set("status = ?", string(to)).WherePK().Exec(ctx); err != nil || to != region.PlanApplied {
				return err
			}
			return bindsDefault(ctx, tx, row)
		}
		return fault.New(fault.Conflict, "plan %s is %s, not %s: make a new plan", id, row.Status, from)
	})
}

// bindsDefault has a plan that is applied, and takes nothing down, say whose the default project is.
func bindsDefault(ctx context.Context, tx bun.Tx, row planRow) error {
	p, err := decode[region.Plan](row.Doc)
	if err != nil || p.Destroy {
		return err
	}
	wanted, err := decode[[]region.Spec](row.Wanted)
	if err != nil {
		return err
	}
	return bindDefault(ctx, tx, wanted)
}

func findPlan(ctx context.Context, db bun.IDB, id string) (planRow, error) {
	var row planRow
	err := db.NewSelect().Model(&row).Where("id = ?", clean(id)).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return row, fault.New(fault.NotFound, "there is no plan %q", clean(id))
	}
	return row, err
}
