package activities

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/m3o/platform/internal/region"
)

// TestSweepsOfOldAreUnderstood: a workflow that was scheduled by an older version sends the key alone, and an older worker reads
// of what a newer one sends the key alone.
func TestSweepsOfOldAreUnderstood(t *testing.T) {
	key := region.Key{Platform: "micro", Name: "lon1"}
	old, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	var in SweepInput
	if err := json.Unmarshal(old, &in); err != nil || !reflect.DeepEqual(in, SweepInput{Key: key}) {
		t.Errorf("%s is read as %+v, %v", old, in, err)
	}
	if plain, err := json.Marshal(SweepInput{Key: key}); err != nil || string(plain) != string(old) {
		t.Errorf("without clusters it is %s, %v; it was %s", plain, err, old)
	}
	sent, err := json.Marshal(SweepInput{Key: key, Clusters: []string{"c"}})
	if err != nil {
		t.Fatal(err)
	}
	var read region.Key
	if err := json.Unmarshal(sent, &read); err != nil || read != key {
		t.Errorf("%s is read as %+v, %v", sent, read, err)
	}
}
