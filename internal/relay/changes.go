package relay

import "strings"

// changes are how the kinds begin of the events that change whether people are paged.
var changes = []string{"rules.", "silence.", "maintenance.", "override."}

func changesRules(kind string) bool {
	for _, c := range changes {
		if strings.HasPrefix(kind, c) {
			return true
		}
	}
	return false
}
