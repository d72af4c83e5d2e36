// Package attribute names the search attributes by which operators find workflows in the Temporal UI. All are keywords.
// The embedded server creates them at its first start; a production namespace needs the same. It holds names alone.
package attribute

import "go.temporal.io/sdk/temporal"

// The search attributes. A region is platform/name.
var (
	Provider = temporal.NewSearchAttributeKeyKeyword("provider")
	Region   = temporal.NewSearchAttributeKeyKeyword("region")
	Project  = temporal.NewSearchAttributeKeyKeyword("project")
	Service  = temporal.NewSearchAttributeKeyKeyword("service")
	Release  = temporal.NewSearchAttributeKeyKeyword("release")
	Status   = temporal.NewSearchAttributeKeyKeyword("status")
)

// Names lists all of them.
func Names() []string {
	return []string{Provider.GetName(), Region.GetName(), Project.GetName(), Service.GetName(), Release.GetName(), Status.GetName()}
}
