package release

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// units are what sizes are written in, the larger before the smaller.
var units = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"kB", 1e3}, {"B", 1}}

// ParseSize reads a number of bytes as people write it: 1048576, 150MB (of a million bytes each), 1GiB (1024 MiB).
func ParseSize(text string) (int64, error) {
	number := strings.TrimRight(text, "BGMKkibgm ")
	n, err := strconv.ParseInt(number, 10, 64)
	unit, known := int64(1), number == text
	for _, u := range units {
		if strings.EqualFold(strings.TrimSpace(text[len(number):]), u.name) {
			unit, known = u.bytes, true
		}
	}
	if err != nil || n < 0 || !known || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%.40q is not a size such as 150MB or 1GiB", text)
	}
	return n * unit, nil
}

// SizeText writes a size in the largest unit that it is a whole number of, "" for 0.
func SizeText(n int64) string {
	for _, u := range units {
		if n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return ""
}
