package activities

import (
	"context"
	"fmt"

	"github.com/m3o/platform/internal/alert"
)

// NoticeRules are what says how people are reached.
type NoticeRules interface {
	Rules(ctx context.Context, project string) (alert.Rules, error)
	People(ctx context.Context, names []string) (map[string]alert.Person, error)
}

// Notices finds who is to be told something.
type Notices struct{ Rules NoticeRules }

// FindRecipient says by which contacts a notice reaches its person now; by none when they are gone or have none. It only reads.
func (a *Notices) FindRecipient(ctx context.Context, in alert.Notice) (alert.Recipient, error) {
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
