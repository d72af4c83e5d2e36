package release

import (
	"fmt"
	"time"
)

// Duration is a span of time that is written as Go writes it: "90s", "2m30s".
type Duration time.Duration

func (d Duration) String() string { return time.Duration(d).String() }

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
