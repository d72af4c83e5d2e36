package alert

import "github.com/m3o/platform/internal/span"

// Duration is a span of time as files and flags write it: "90s", "2m30s", "1h".
type Duration = span.Duration
