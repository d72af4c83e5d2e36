package cloudtest_test

import (
	"flag"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/cloud/cloudtest"
)

type passage = cloudtest.Passage

// mutant is how the provider under test is broken. TestTheSuiteFindsWhatIsWrong runs this binary anew with it.
var mutant = flag.String("mutant", "", "break the staged provider in this way")

func TestTheStagedProviderIsAProvider(t *testing.T) {
	cloudtest.Run(t, func(*testing.T) cloudtest.Harness { return new(account).harness(*mutant) })
}

// A suite that passes everything proves nothing: each of these copies of the provider breaks one promise, and is found out by
// the case that is about it.
func TestTheSuiteFindsWhatIsWrong(t *testing.T) {
	for broken, found := range map[string]string{
		"takes what is not its own":                   "what_is_not_ours",
		"takes an answer that was lost for another's": "asking_at_the_same_time",
		"remembers instead of looking":                "a_process_may_end",
		"needs its hint":                              "hints_may_be_lost",
		"waits inside a step":                         "a_region's_life",
		"is ready too early":                          "a_region's_life",
		"calls what failed busy":                      "a_cluster_that_fails",
		"calls gone what is going":                    "a_region's_life",
		"forgets what its cluster left":               "what_a_cluster_leaves",
		"cuts names off":                              "long_names_are_cut",
		"names by region alone":                       "two_regions_of_one_name",
		"keeps its roles":                             "a_region's_life",
		"fights the cloud's version":                  "a_version_that_the_cloud_changed",
	} {
		t.Run(broken, func(t *testing.T) {
			t.Parallel()
			run := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTheStagedProviderIsAProvider$", "-test.timeout=60s", "-mutant="+broken)
			out, err := run.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestTheStagedProviderIsAProvider/"+found) {
				t.Errorf("a provider that %s is not found out by %s: %v\n%s", broken, found, err, failed(string(out)))
			}
		})
	}
}

// failed are the cases that failed.
func failed(out string) string {
	var cases []string
	for line := range strings.Lines(out) {
		if strings.Contains(line, "--- FAIL") || strings.Contains(line, "panic") {
			cases = append(cases, line)
		}
	}
	return strings.Join(cases, "")
}
