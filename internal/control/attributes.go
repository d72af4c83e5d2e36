package control

import (
	"go.temporal.io/sdk/temporal"

	"github.com/m3o/platform/internal/attribute"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

func regionAttributes(key region.Key, provider region.Provider) temporal.SearchAttributes {
	return temporal.NewSearchAttributes(attribute.Region.ValueSet(key.Name), attribute.Provider.ValueSet(string(provider)))
}

func serviceAttributes(key release.Key) temporal.SearchAttributes {
	return temporal.NewSearchAttributes(attribute.Project.ValueSet(key.Project), attribute.Service.ValueSet(key.Name))
}
