package region

import (
	"fmt"
	"strings"
)

// Some lists names, of which there may be many, in a sentence: a dozen, and how many more there are.
func Some(names []string) string {
	const shown = 12
	if len(names) > shown {
		return strings.Join(names[:shown], ", ") + fmt.Sprintf(" and %d more", len(names)-shown)
	}
	return strings.Join(names, ", ")
}
