package main

import (
	"testing"

	"github.com/m3o/platform/internal/release"
)

func TestRegionsOfTheSameNameAreWrittenInFull(t *testing.T) {
	placed := func(names ...string) (list []release.Placed) {
		for _, name := range names {
			list = append(list, release.Placed{Region: name, Status: release.Ready})
		}
		return list
	}
	for want, list := range map[string][]release.Placed{
		"lon1,nyc3":                  placed("micro/lon1", "micro/nyc3"),
		"micro/lon1,nyc3,other/lon1": placed("micro/lon1", "micro/nyc3", "other/lon1"),
		"a/x,b/x,c/x":                placed("a/x", "b/x", "c/x"),
		"lon1,lon1":                  placed("micro/lon1", "micro/lon1"),
		"-":                          nil,
	} {
		if got := placedSummary(list); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
