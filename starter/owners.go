package main

import (
	"context"
	"fmt"

	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/store"
)

// own gives every region and service that is there its owner, should it have lost it: with Temporal's database, or because
// somebody terminated the workflow. One that has an owner is left as it is. What fails is said and tried again at the next
// start, or by the next command to the thing itself.
func (b *base) own(ctx context.Context, db *store.Store, flows *control.Flows) {
	if err := ownAll(ctx, db, flows); err != nil && ctx.Err() == nil {
		b.signals.Logger.WarnContext(ctx, "not everything has an owner", "error", err)
	}
}

func ownAll(ctx context.Context, db *store.Store, flows *control.Flows) error {
	regions, err := db.Regions(ctx, "", false)
	if err != nil {
		return err
	}
	for _, r := range regions {
		if err := flows.OwnRegion(ctx, r.Spec.Key()); err != nil {
			return fmt.Errorf("give region %s its owner: %w", r.Spec.Key(), err)
		}
	}
	services, err := db.AllServices(ctx)
	if err != nil {
		return err
	}
	for _, s := range services {
		if err := flows.OwnService(ctx, s.Key); err != nil {
			return fmt.Errorf("give service %s its owner: %w", s.Key, err)
		}
	}
	return nil
}
