//go:build embedded

package main

import (
	"strings"
	"testing"
)

func TestDevBlamesTheFlagThatIsWrong(t *testing.T) {
	user(t)
	got := m3o("dev", "--log-level", "loud").fails(t, exitMisused, "--log-level", `"loud"`)
	if strings.Contains(got.errs, "M3O_LOG_LEVEL") {
		t.Errorf("it names a setting that nobody made: %s", got.errs)
	}
}
