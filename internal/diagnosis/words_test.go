package diagnosis

import (
	"strings"
	"testing"
)

// A reason that is too long keeps its beginning and more of its end, and stays text.
func TestShort(t *testing.T) {
	long := "begin " + strings.Repeat("é", longest) + " end"
	got := Short(long)
	if len(got) > longest+10 || !strings.HasPrefix(got, "begin ") || !strings.HasSuffix(got, " end") || !strings.Contains(got, " … ") {
		t.Errorf("got %d bytes: %q", len(got), got)
	}
	if strings.ToValidUTF8(got, "?") != got {
		t.Error("a character was cut in two")
	}
	if Short(" as it is\n") != "as it is" {
		t.Error("a short reason is changed")
	}
}

func TestHopeless(t *testing.T) {
	for _, words := range []string{`registry/x:1: not found`, "MANIFEST_UNKNOWN: manifest unknown", "pull access denied", "unauthorized: authentication required"} {
		if !hopeless(words) {
			t.Errorf("%q would be tried for ever", words)
		}
	}
	for _, words := range []string{"dial tcp 10.0.0.1:443: i/o timeout", "connection refused", "503 Service Unavailable", "TLS handshake timeout", "429 Too Many Requests"} {
		if hopeless(words) {
			t.Errorf("%q would be given up at once", words)
		}
	}
}
