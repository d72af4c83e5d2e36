package cluster

import (
	"fmt"
	"maps"
	"regexp"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// programs is where each part's image has its program. etcd and NATS are where the official images have them (NATS in its
// plain Linux form), CockroachDB likewise; m3o is where our image has it.
// Images made otherwise follow this table: the command is always given, so an image's entrypoint does not matter.
var programs = map[region.Part]string{
	region.Etcd:        "/usr/local/bin/etcd",
	region.NATS:        "/nats-server",
	region.CockroachDB: "/cockroach/cockroach",
	region.API:         "/m3o",
}

// DefaultImages are the official images of a region's parts, pinned by the digest of their multi-platform index; the tag
// beside it is for readers. etcd's first registry is gcr.io/etcd-development, of which quay.io is a mirror with digests of
// its own. Configuration may name others ("name@sha256:…"); our own image has no default.
var DefaultImages = map[region.Part]string{
	region.Etcd:        "gcr.io/etcd-development/etcd:v3.7.0@sha256:6ecefbe2510c4a30573a62a4d6dd175acf881ca67003fcd91849a16df7a724d5",
	region.NATS:        "docker.io/library/nats:2.15.0@sha256:cd3fcd4ecdda44e3a66728a5334af0a959bc3979b32810e033d1c547241cd0f4",
	region.CockroachDB: "docker.io/cockroachdb/cockroach:v26.2.7@sha256:9464ae30465b887295459b98d129a76d074caeaa4c86836d369c6d2fdddd1685",
}

// Parts is what a region's parts need to know that its spec does not say. It is the same for every region.
type Parts struct {
	Images  map[region.Part]string // by part; DefaultImages fill in what is missing
	Gateway Gateway
}

// Gateway is what a region's gateway needs to know.
type Gateway struct {
	Keys   []byte // the public keys (a JWK set in JSON) whose tickets it takes; none: no ticket is good
	Traces string // OTLP/HTTP URL that its traces go to; empty: nowhere
}

var digest = regexp.MustCompile(`@sha256:[0-9a-f]{64}$`)

// Check reports which images are missing, or not pinned, for the spec.
func (p Parts) Check(spec region.Spec) error {
	_, err := p.complete(spec)
	return err
}

// complete fills in the default images and says which are missing, or not pinned, for the spec.
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
		switch reference := images[part]; {
		case reference == "":
			problems = append(problems, fault.Problem{Field: "images." + string(part), Message: "names no image"})
		case !digest.MatchString(reference):
			problems = append(problems, fault.Problem{Field: "images." + string(part),
				Message: fmt.Sprintf("%q is not pinned: name it by digest (NAME@sha256:…), so that it is the same in every region", reference)})
		}
	}
	return p, fault.Problems(problems)
}
