package store

import (
	"fmt"
	"strings"
)

// shown is how many names an error lists.
const shown = 20

// enumerate lists names for an error message.
func enumerate(names []string) string {
	if len(names) > shown {
		return strings.Join(names[:shown], ", ") + fmt.Sprintf(" and %d more", len(names)-shown)
	}
	return strings.Join(names, ", ")
}

// thereIs says what exists, for whoever asked for what does not.
func thereIs(noun string, names []string) string {
	switch len(names) {
	case 0:
		return "there is none yet"
	case 1:
		return "the only " + noun + " is " + names[0]
	}
	return "there are " + enumerate(names)
}
