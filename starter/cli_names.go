package main

import (
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// regionLabels write regions by their names alone, and in full where several platforms have one of that name.
type regionLabels map[string]string

// labelsOf are those of the regions in which something is placed.
func labelsOf(placed []release.Placed) regionLabels {
	labels := regionLabels{}
	for _, p := range placed {
		labels.add(p.Region)
	}
	return labels
}

func (l regionLabels) add(full string) {
	short := region.ShortName(full)
	if other, taken := l[short]; taken && other != full {
		full = "" // the name alone says nothing
	}
	l[short] = full
}

func (l regionLabels) label(full string) string {
	if short := region.ShortName(full); l[short] == full {
		return short
	}
	return full
}
