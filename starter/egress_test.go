package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/telemetry"
)

func TestWhatAWorkerIsSeenByIsASetting(t *testing.T) {
	for text, want := range map[string][]string{"": nil, "203.0.113.7/32": {"203.0.113.7/32"}, "203.0.113.0/24, 198.51.100.0/25": {"203.0.113.0/24", "198.51.100.0/25"}} {
		b := &base{settings: config.Settings{Egress: text}}
		if got, err := b.egress(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q is read as %v, %v", text, got, err)
		}
	}
	many := "203.0.113.0/24"
	for n := range maxEgress {
		many += fmt.Sprintf(",198.51.100.%d/32", n)
	}
	for text, want := range map[string]string{
		"203.0.113.7":                    `"203.0.113.7" is not an IPv4 range`,
		"203.0.113.7/32,":                `"" is not an IPv4 range`,
		"2001:db8::/32":                  `"2001:db8::/32" is not an IPv4 range`,
		"203.0.113.7/24":                 `"203.0.113.7/24" has host bits: write "203.0.113.0/24"`,
		"10.1.2.3/32":                    `"10.1.2.3/32" is private: write what this worker is seen by outside`,
		"0.0.0.0/0":                      `"0.0.0.0/0" lets everybody in`,
		"203.0.113.7/32,203.0.113.7/32":  `"203.0.113.7/32" is listed twice`,
		many:                             "6 ranges are more than 5",
		"everything that we might be at": "is not an IPv4 range",
	} {
		b := &base{settings: config.Settings{Egress: text}}
		if _, err := b.egress(); err == nil || !strings.Contains(err.Error(), "M3O_EGRESS_CIDRS: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if told := config.Describe(config.Cloud); !strings.Contains(told, "M3O_EGRESS_CIDRS") {
		t.Errorf("the help of a cloud's worker does not tell:\n%s", told)
	}
}

func TestKeysFromAFileAreWarnedAbout(t *testing.T) {
	for name, c := range map[string]struct {
		file, at string
		warned   bool
	}{
		"the real cloud":             {"keys", "", true},
		"a proxy of our own":         {"keys", "https://aws.example.com", true},
		"an identity":                {"", "", false},
		"a sandbox":                  {"keys", "http://127.0.0.1:9002", false},
		"a sandbox over TLS":         {"keys", "https://127.0.0.1:9004", false},
		"a sandbox by another name":  {"keys", "http://localhost:9002", false},
		"a name like this machine's": {"keys", "http://localhost.example.com", true},
	} {
		var log bytes.Buffer
		signals, err := telemetry.Setup(t.Context(), telemetry.Settings{Log: &log})
		if err != nil {
			t.Fatal(err)
		}
		b := &base{signals: signals}
		b.warnOfStaticKeys("AWS", "M3O_AWS_CREDENTIALS_FILE", c.file, c.at, "an instance role")
		if got := strings.Contains(log.String(), "M3O_AWS_CREDENTIALS_FILE") && strings.Contains(log.String(), "an instance role"); got != c.warned {
			t.Errorf("%s: the log says %q", name, log.String())
		}
	}
}
