package activities

import (
	"context"
	"fmt"

	"github.com/m3o/platform/internal/alert"
)

// FindRecipient says by which contacts a notice reaches its person now; by none when they are gone or have none. It only reads.
func (a *Alerts) FindRecipient(ctx context.Context, in alert.Notice) (alert.Recipient, error) {
	rules, err := a.Rules.Rules(ctx, in.Project)
	if err != nil {
		return alert.Recipient{}, fail(fmt.Errorf("find who gets notice %s: %w", in.Key, err))
	}
	people, err := a.Rules.People(ctx, []string{in.Person})
	if err != nil {
		return alert.Recipient{}, fail(fmt.Errorf("find who gets notice %s: %w", in.Key, err))
	}
	r, _ := alert.View{Rules: rules, People: people}.Recipient(in.Person)
	return r, nil
}
