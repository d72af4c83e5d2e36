package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/m3o/platform/internal/account"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Each migration is one transaction, so of two processes that migrate at the same time one fails and finds, when it
// looks again, that the work is done.
const (
	migrateAttempts = 10
	migratePause    = 200 * time.Millisecond
)

// Migrate brings the schema to this version, and makes the default project and that of the platform's own alerts. Several processes may call it at once; done already is fine.
func (s *Store) Migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	provider, err := goose.NewProvider(s.engine.migrations(), s.write.DB, files)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	for attempt := 1; ; attempt++ {
		_, err := provider.Up(ctx)
		if err == nil {
			return errors.Join(s.EnsureProject(ctx, account.DefaultProject), s.EnsureProject(ctx, account.PlatformProject))
		}
		if attempt == migrateAttempts {
			return s.explain(err, "migrate")
		}
		select {
		case <-time.After(migratePause):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}
