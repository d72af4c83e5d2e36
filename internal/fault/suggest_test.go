package fault_test

import (
	"fmt"
	"testing"

	"github.com/m3o/platform/internal/fault"
)

func TestSuggestions(t *testing.T) {
	candidates := []string{"digitalocean", "aws", "gcp", "do", "count", "size"}
	for written, want := range map[string]string{
		"digitalocaen": "digitalocean", "digital-ocean": "digitalocean", "asw": "aws", "cuont": "count", "sise": "size", "kubernetes": "", "": "", "xyz": "",
	} {
		if want != "" {
			want = fmt.Sprintf(" (did you mean %q?)", want)
		}
		if got := fault.DidYouMean(written, candidates); got != want {
			t.Errorf("%q suggests %q, want %q", written, got, want)
		}
	}
}
