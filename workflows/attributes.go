package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// shown is one search attribute and what it is to say.
type shown struct {
	key   temporal.SearchAttributeKeyKeyword
	value string
}

// show sets the search attributes that do not say so already: each time it is an event, and a write of Temporal's index.
func show(ctx workflow.Context, attributes ...shown) {
	var changes []temporal.SearchAttributeUpdate
	now := workflow.GetTypedSearchAttributes(ctx)
	for _, a := range attributes {
		if value, set := now.GetKeyword(a.key); !set || value != a.value {
			changes = append(changes, a.key.ValueSet(a.value))
		}
	}
	if len(changes) > 0 {
		_ = workflow.UpsertTypedSearchAttributes(ctx, changes...) // fails only for unknown attributes
	}
}
