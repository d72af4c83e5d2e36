package sandboxtest

import (
	"testing"

	"github.com/m3o/platform/internal/sandbox/world"
)

func TestTheLedgersAccountsAreKept(t *testing.T) {
	vpc := func(seq int64, kind, id, name, key string) world.Effect {
		return world.Effect{Seq: seq, Provider: "aws", Kind: kind, Resource: "vpc", ID: id, Name: name, Key: key}
	}
	var a Accounts
	if wrong := a.take([]world.Effect{vpc(1, "created", "v1", "a", "k"), vpc(2, "updated", "v1", "a", "k"), vpc(3, "deleted", "v1", "a", "k"), vpc(4, "created", "v2", "a", "k")}); len(wrong) > 0 {
		t.Errorf("one after the other: %v", wrong)
	}
	if left := a.Left(); len(left) != 1 || a.Created != 2 || a.Deleted != 1 || a.seq != 4 {
		t.Errorf("left %v, %+v", left, a)
	}
	if wrong := a.take([]world.Effect{vpc(5, "created", "v3", "a", "k"), vpc(6, "created", "v3", "b", "k"), vpc(7, "deleted", "v9", "c", "k"), vpc(8, "created", "v4", "a", "")}); len(wrong) != 3 {
		t.Errorf("two of a name, one id twice, and what was not there: %v", wrong)
	}
}
