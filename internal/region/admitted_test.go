package region_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/region"
)

func TestAdmittedAreTheListTheNetworkAndTheWorkers(t *testing.T) {
	spec := region.ClusterSpec{Network: region.Net{Egress: []string{"198.51.100.7"}}}
	if got := spec.Admitted([]string{"192.0.2.0/24"}); got != nil {
		t.Errorf("without a list everybody is admitted: %v", got)
	}
	spec.Access = []string{}
	if got := spec.Admitted(nil); !slices.Equal(got, []string{"198.51.100.7/32"}) {
		t.Errorf("an empty list admits nobody else: %v", got)
	}
	spec.Access = []string{"203.0.113.9/24", "192.0.2.0/24"}
	if got, want := spec.Admitted([]string{"192.0.2.0/24"}), []string{"192.0.2.0/24", "198.51.100.7/32", "203.0.113.0/24"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := region.Ranges([]string{"no range", "2001:db8::1"}); !slices.Equal(got, []string{"2001:db8::1/128", "no range"}) {
		t.Errorf("got %v", got)
	}
}

func TestWorkersThatMayBeLockedOutAreWarnedOf(t *testing.T) {
	open, restricted := region.Spec{Provider: region.GCP}, region.Spec{Provider: region.GCP, Access: []string{"203.0.113.0/24"}}
	known := []string{"192.0.2.0/24"}
	if got := slices.Concat(open.AccessWarnings(nil), open.AccessWarnings(known), restricted.AccessWarnings(known)); len(got) > 0 {
		t.Errorf("warned of nothing: %q", got)
	}
	if got := restricted.AccessWarnings(nil); len(got) != 1 || !strings.Contains(got[0], "M3O_EGRESS_CIDRS") {
		t.Errorf("got %q", got)
	}
}

func TestSomeNamesAreListedAndTheRestCounted(t *testing.T) {
	names := strings.Split(strings.Repeat("n", 14), "")
	for count, want := range map[int]string{0: "", 2: "n, n", 12: strings.Repeat("n, ", 11) + "n", 14: strings.Repeat("n, ", 11) + "n and 2 more"} {
		if got := region.Some(names[:count]); got != want {
			t.Errorf("%d names: %q, want %q", count, got, want)
		}
	}
}
