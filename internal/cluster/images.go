package cluster

import (
	"maps"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// programs is where each part's image has its program. etcd and NATS are where the official images have them
// (quay.io/coreos/etcd and nats, the latter in its plain Linux form), CockroachDB likewise; m3o is where our image has it.
// Images made otherwise follow this table: the command is always given, so an image's entrypoint does not matter.
var programs = map[region.Part]string{
	region.Etcd:        "/usr/local/bin/etcd",
	region.NATS:        "/nats-server",
	region.CockroachDB: "/cockroach/cockroach",
	region.API:         "/m3o",
}

// DefaultImages are the images of a region's parts that nobody configured. They are tags that were seen in use, not
// digests: none was verified, so production configures "name@sha256:…". Our own image has no default.
var DefaultImages = map[region.Part]string{
	region.Etcd:        "quay.io/coreos/etcd:v3.7.1",
	region.NATS:        "docker.io/library/nats:2.15.0",
	region.CockroachDB: "docker.io/cockroachdb/cockroach:v25.4.14",
}

// Parts is what a region's parts need to know that its spec does not say. It is the same for every region.
type Parts struct {
	Images  map[region.Part]string // by part; DefaultImages fill in what is missing
	Gateway Gateway
}

// Gateway is what a region's gateway needs to know.
type Gateway struct {
	Keys []byte // the public keys (a JWK set in JSON) whose tickets it takes; none: no ticket is good
}

// complete fills in the default images and says which are missing for the spec.
func (p Parts) complete(spec region.Spec) (Parts, error) {
	images := maps.Clone(DefaultImages)
	for part, reference := range p.Images {
		if reference != "" {
			images[part] = reference
		}
	}
	p.Images = images
	var problems []fault.Problem
	for _, part := range wantedParts(spec) {
		if images[part] == "" {
			problems = append(problems, fault.Problem{Field: "images." + string(part), Message: "names no image"})
		}
	}
	return p, fault.Problems(problems)
}
