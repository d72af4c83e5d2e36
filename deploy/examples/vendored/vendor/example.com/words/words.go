// Package words is a dependency that lies in the source.
package words

import "strings"

// Shout says it louder.
func Shout(s string) string {
	if s == "" {
		s = "hello"
	}
	return strings.ToUpper(s) + "!"
}
