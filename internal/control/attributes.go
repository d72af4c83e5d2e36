package control

import (
	"go.temporal.io/sdk/temporal"

	"github.com/m3o/platform/internal/attribute"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

func regionAttributes(key region.Key, provider region.Provider) temporal.SearchAttributes {
	set := []temporal.SearchAttributeUpdate{attribute.Region.ValueSet(key.String())}
	if provider != "" {
		set = append(set, attribute.Provider.ValueSet(string(provider)))
	}
	return temporal.NewSearchAttributes(set...)
}

func serviceAttributes(key release.Key) temporal.SearchAttributes {
	return temporal.NewSearchAttributes(attribute.Project.ValueSet(key.Project), attribute.Service.ValueSet(key.Name))
}
