package figures

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// Say prints a line of the report; go test keeps nothing of it back with -v.
func Say(format string, args ...any) { fmt.Fprintf(os.Stdout, format+"\n", args...) }

// Table prints a table that is readable as it is, and in Markdown.
func Table(title string, header []string, rows [][]string) {
	widths := make([]int, len(header))
	for _, row := range append([][]string{header}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	line := func(row []string, fill string) string {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString("| " + cell + strings.Repeat(fill, widths[i]-len([]rune(cell))) + " ")
		}
		return b.String() + "|"
	}
	rule := make([]string, len(header))
	for i := range rule {
		rule[i] = "-"
	}
	Say("\n%s\n\n%s\n%s", title, line(header, " "), line(rule, "-"))
	for _, row := range rows {
		Say("%s", line(row, " "))
	}
	Say("")
}

// Number is what quantiles are taken of.
type Number interface{ ~int64 | ~float64 }

// Quantile is the nearest rank: with fewer than 100 values, p99 is the largest.
func Quantile[T Number](values []T, q float64) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// Median is the middle of the values, or of the two in the middle.
func Median[T Number](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// Millis is a duration in milliseconds, and Secs in seconds, as a cell of a table.
func Millis(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond)) }
func Secs(d time.Duration) string   { return fmt.Sprintf("%.2f", d.Seconds()) }
