package region

import "fmt"

// Suggest returns the candidate closest to what was written, or "" when none is close enough to be a slip.
func Suggest(written string, candidates []string) string {
	best, distance := "", max(1, len(written)/3)+1
	for _, c := range candidates {
		if d := edits(written, c); d < distance {
			best, distance = c, d
		}
	}
	return best
}

func suggestion(written string, candidates []string) string {
	if s := Suggest(written, candidates); s != "" {
		return fmt.Sprintf(" (did you mean %q?)", s)
	}
	return ""
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		previous := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			previous, row[j+1] = row[j+1], min(previous+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
