package region

import (
	"fmt"
	"slices"
	"strings"
)

// nearly is from how much of a limit on, in percent, it is nearly used up.
const nearly = 80

// scarce are those of an account's limits that are nearly used up, by their pools.
func scarce(draws []Draw) []Draw {
	var all []Draw
	for _, d := range draws {
		if used := d.Limit - d.Left; d.Limit > 0 && used*100 >= d.Limit*nearly {
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(a, b Draw) int { return strings.Compare(a.Pool, b.Pool) })
	return all
}

func samePools(a, b []Draw) bool {
	return slices.EqualFunc(a, b, func(a, b Draw) bool { return a.Pool == b.Pool })
}

// Scarcity says which limits of the region's account are nearly used up, "" when none is.
func (r Region) Scarcity() string {
	words := make([]string, len(r.Scarce))
	for i, d := range r.Scarce {
		words[i] = fmt.Sprintf("%d of %d %s are used", d.Limit-d.Left, d.Limit, d.Pool)
	}
	if len(words) == 0 {
		return ""
	}
	return fmt.Sprintf("the %s account: %s; ask for a higher limit", r.Spec.Provider, strings.Join(words, ", "))
}
