package fault

import "fmt"

// DidYouMean asks, in brackets and after a space, whether the candidate closest to what was written was meant; it is "" when
// none is close enough to be a slip.
func DidYouMean(written string, candidates []string) string {
	if c := closest(written, candidates); c != "" {
		return fmt.Sprintf(" (did you mean %q?)", c)
	}
	return ""
}

// closest returns the candidate closest to what was written, or "".
func closest(written string, candidates []string) string {
	best, distance := "", max(1, len(written)/3)+1
	for _, c := range candidates {
		if d := edits(written, c); d < distance {
			best, distance = c, d
		}
	}
	return best
}

// edits counts what must be added, left out, replaced, or swapped with its neighbour (optimal string alignment).
func edits(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := last[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(replace, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
