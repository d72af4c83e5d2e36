package figures

import (
	"testing"
	"time"
)

func TestQuantilesOfFewValues(t *testing.T) {
	values := []time.Duration{5, 1, 4, 2, 3}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 3, 0.99: 5, 1: 5} {
		if got := Quantile(values, q); got != want {
			t.Errorf("quantile %g is %d, want %d", q, got, want)
		}
	}
	if got := Median(append(values, 9)); got != 3 {
		t.Errorf("the median of six is %d, want the middle of the two in the middle, 3", got)
	}
	if got := Quantile[time.Duration](nil, 0.5) + Median[time.Duration](nil); got != 0 {
		t.Errorf("of nothing: %d", got)
	}
}
