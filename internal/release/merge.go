package release

import (
	"slices"

	"github.com/m3o/platform/internal/fault"
)

// Over is what the request makes of the release that it follows, nil for none: the spec and origin of the new release, and the names of
// its settings that come from a manifest. Each setting is, the first that holds:
//
//   - what the request says,
//   - its default, when the request resets it,
//   - its default, when the base has it from a manifest, and the request's manifest says it no more,
//   - what the base has,
//   - its default.
//
// What is wrong with the outcome as a whole is an Invalid fault: a request may be fine by itself, and too much with what it keeps.
func (r Request) Over(base *Release) (Spec, Origin, []string, error) {
	asked := r.settings()
	if base == nil {
		base = &Release{}
	}
	kept := base.settings()
	var merged settings
	var inFile []string
	for _, s := range table(&asked, &kept) {
		from, fromFile := &kept, slices.Contains(base.InFile, s.name)
		switch {
		case s.named(&asked) || r.fileSays(s.name):
			from, fromFile = &asked, r.fileSays(s.name)
		case slices.Contains(r.Reset, s.name) || s.group != "" && slices.Contains(r.Reset, s.group):
			continue
		case fromFile && r.File != nil:
			continue
		}
		s.take(&merged, from)
		if fromFile {
			inFile = append(inFile, s.name)
		}
	}
	spec := merged.Spec.WithDefaults()
	// An image is not built. How to build a source is kept for the next release that is made of one.
	origin := Origin{Source: r.Origin.Source, Image: r.Origin.Image, Package: merged.Package, Module: r.Origin.Module, Build: merged.Build}
	if origin.Source != "" && origin.Package == "" {
		origin.Package = "."
	}
	var c fault.Checker
	origin.check(&c)
	spec.check(&c)
	return spec, origin, inFile, c.Err()
}

// WithDefaults fills in what a release cannot do without.
func (s Spec) WithDefaults() Spec {
	if s.Access == "" {
		s.Access = ByKey
	}
	if s.Port == 0 {
		s.Port = DefaultPort
	}
	if s.Replicas == 0 {
		s.Replicas = 1
	}
	return s
}
