// Package span writes spans of time as people do in files and flags. It holds one type, knows nothing of the project, and may be imported by
// everything.
package span

import (
	"fmt"
	"strings"
	"time"
)

// Duration is a span of time that is written as Go writes it, without what is zero: "90s", "2m30s", "1h".
type Duration time.Duration

func (d Duration) String() string {
	text := time.Duration(d).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%.40q is not a span of time such as 90s or 2m", text)
	}
	*d = Duration(parsed)
	return nil
}
