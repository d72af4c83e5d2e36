package alert_test

import (
	"testing"

	"github.com/m3o/platform/internal/alert"
)

func TestADrillJoinsNoAlertThatIsMeant(t *testing.T) {
	rules := alert.Rules{Project: "shop", Default: alert.Route{Name: alert.DefaultRoute, GroupBy: []string{"service"}}}
	group := func(source alert.Source, key string) string {
		g, _ := rules.GroupOf(alert.Signal{Project: "shop", Service: "till", DedupKey: key, Source: source})
		return g.Hash()
	}
	if group(alert.FromAPI, "disk full") != group(alert.FromAPI, "queue long") {
		t.Error("two alerts of one service are not one")
	}
	if drill := group(alert.FromDrill, "drill/1"); drill == group(alert.FromAPI, "disk full") || drill == group(alert.FromDrill, "drill/2") {
		t.Error("a drill is in the group of others")
	}
}
