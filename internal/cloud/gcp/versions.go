package gcp

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"cloud.google.com/go/container/apiv1/containerpb"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// channel is the release channel of all clusters: what has been in the rapid one for some months, with fixes by itself.
const channel = containerpb.ReleaseChannel_REGULAR

// versions are what the channel offers in a place.
type versions struct {
	offered []string // "1.34.1-gke.1829001"
	usual   string   // what GKE gives who asks for none
}

func (p *Provider) versions(ctx context.Context, location string) (versions, error) {
	config, err := p.containers.GetServerConfig(ctx, &containerpb.GetServerConfigRequest{Name: p.locationPath(location)})
	if err != nil {
		return versions{}, explain(err, "list the Kubernetes versions in "+location)
	}
	for _, c := range config.GetChannels() {
		if c.GetChannel() == channel {
			return versions{offered: c.GetValidVersions(), usual: c.GetDefaultVersion()}, nil
		}
	}
	return versions{offered: config.GetValidMasterVersions(), usual: config.GetDefaultClusterVersion()}, nil
}

// newest is the newest patch of a minor version. A minor that is not offered is Invalid, with what is.
func (v versions) newest(minor string) (string, error) {
	best, minors := "", []string{}
	for _, name := range v.offered {
		m := region.Minor(name)
		if m != "" && !slices.Contains(minors, m) {
			minors = append(minors, m)
		}
		if m == minor && (best == "" || slices.Compare(numbers(name), numbers(best)) > 0) {
			best = name
		}
	}
	if best == "" {
		slices.SortFunc(minors, func(a, b string) int { return slices.Compare(numbers(b), numbers(a)) })
		return "", fault.New(fault.Invalid, "GKE does not offer Kubernetes %s in its regular channel%s; it offers %s", minor,
			fault.DidYouMean(minor, minors), strings.Join(minors, ", "))
	}
	return best, nil
}

// numbers are the numbers in a version, in order: "1.34.1-gke.1829001" is 1, 34, 1, 1829001.
func numbers(version string) []int {
	var list []int
	for _, digits := range strings.FieldsFunc(version, func(r rune) bool { return r < '0' || r > '9' }) {
		if n, err := strconv.Atoi(digits); err == nil {
			list = append(list, n)
		}
	}
	return list
}
