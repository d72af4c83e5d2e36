package workflows

import (
	"strconv"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/internal/attribute"
	"github.com/m3o/platform/internal/release"
)

// shown is one search attribute and what it is to say.
type shown struct {
	key   temporal.SearchAttributeKeyKeyword
	value string
}

// showsRelease are the search attributes of work on one release.
func showsRelease(key release.Key, number int) []shown {
	return []shown{{attribute.Project, key.Project}, {attribute.Service, key.Name}, {attribute.Release, strconv.Itoa(number)}}
}

// searchAttributes are those that a workflow starts with, which costs nothing: it is written to Temporal's index anyway.
func searchAttributes(attributes []shown) temporal.SearchAttributes {
	set := make([]temporal.SearchAttributeUpdate, len(attributes))
	for i, a := range attributes {
		set[i] = a.key.ValueSet(a.value)
	}
	return temporal.NewSearchAttributes(set...)
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
