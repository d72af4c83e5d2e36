package words

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
