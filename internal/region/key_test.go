package region

import (
	"testing"

	"github.com/m3o/platform/internal/fault"
)

func TestARegionsFullNameIsReadAsItIsWritten(t *testing.T) {
	for _, key := range []Key{{"micro", "lon1"}, {"a-b", "c"}, {"a", "b-c"}} {
		if got, err := ParseKey(key.String()); err != nil || got != key || ShortName(key.String()) != key.Name {
			t.Errorf("%s is read as %+v, %v", key, got, err)
		}
	}
	for _, text := range []string{"", "lon1", "/lon1", "micro/", "micro/lon1/", "a/b/c", "Micro/lon1", "*/lon1", "micro/*", "micro /lon1"} {
		if got, err := ParseKey(text); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q is read as %+v, %v", text, got, err)
		}
	}
}
