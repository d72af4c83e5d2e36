package alert_test

import (
	"testing"

	"github.com/m3o/platform/internal/alert"
)

func TestAPagesKeySaysWhoseItIs(t *testing.T) {
	for _, who := range []string{"ana", "ops@example.com", "https://example.com/hook/1"} {
		key := alert.PageKey("shop", 12, alert.PageAcknowledged, 3, who)
		project, number, err := alert.AlertOf(key)
		if err != nil || project != "shop" || number != 12 || alert.RecipientOf(key) != who {
			t.Errorf("%s is of %s, %d, %q: %v", key, project, number, alert.RecipientOf(key), err)
		}
	}
	if got := alert.RecipientOf("contact/con_1/2"); got != "" {
		t.Errorf("it is of %q", got)
	}
}
