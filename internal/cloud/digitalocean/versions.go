package digitalocean

import (
	"slices"
	"strconv"
	"strings"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// newest returns the slug of the newest patch of a minor version ("1.34" -> "1.34.1-do.0"). A minor that is not offered is
// Invalid, with what is.
func newest(offered []*godo.KubernetesVersion, minor string) (string, error) {
	best, minors := "", map[string]bool{}
	for _, v := range offered {
		parts := strings.SplitN(v.Slug, ".", 3)
		if len(parts) < 3 {
			continue
		}
		minors[parts[0]+"."+parts[1]] = true
		if parts[0]+"."+parts[1] == minor && (best == "" || slices.Compare(numbers(v.Slug), numbers(best)) > 0) {
			best = v.Slug
		}
	}
	if best == "" {
		return "", fault.New(fault.Invalid, "DigitalOcean does not offer Kubernetes %s; it offers %s", minor, strings.Join(sortedVersions(minors), ", "))
	}
	return best, nil
}

// latest is the newest minor version on offer, "" when there is none.
func latest(offered []*godo.KubernetesVersion) string {
	best := ""
	for _, v := range offered {
		if m := region.Minor(v.Slug); slices.Compare(numbers(m), numbers(best)) > 0 {
			best = m
		}
	}
	return best
}

func sortedVersions(set map[string]bool) []string {
	var list []string
	for v := range set {
		list = append(list, v)
	}
	slices.SortFunc(list, func(a, b string) int { return slices.Compare(numbers(b), numbers(a)) })
	return list
}

// numbers are the numbers in a version, in order: "1.34.1-do.0" is 1, 34, 1, 0.
func numbers(version string) []int {
	var list []int
	for _, digits := range strings.FieldsFunc(version, func(r rune) bool { return r < '0' || r > '9' }) {
		if n, err := strconv.Atoi(digits); err == nil {
			list = append(list, n)
		}
	}
	return list
}
