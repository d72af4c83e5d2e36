package workflows_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// tasks lists the activities that ran as tasks of their own, rather than within a workflow task.
func (p *play) tasks() *[]string {
	var names []string
	p.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, _ converter.EncodedValues) {
		if !info.IsLocalActivity {
			names = append(names, info.ActivityType.Name)
		}
	})
	return &names
}

// What an operation costs is the number of its tasks: a call to the store is none.
func TestADeployIntoNoRegionIsNoActivityTask(t *testing.T) {
	p := newPlay(t, newWorld())
	tasks := p.tasks()
	p.deploy(0, "a")
	p.expect(time.Minute, "", release.Broken, 0)
	p.served(time.Hour)
	if len(*tasks) > 0 {
		t.Errorf("it took the activity tasks %v", *tasks)
	}
	if records := strings.Count(p.w.did("RecordService"), "RecordService"); records != 4 {
		t.Errorf("the service was recorded %d times; want it accepted, failed, deleting and deleted", records)
	}
}

// TestAStoreThatIsAwayIsWaitedForByAnActivity: only a task of its own shows in Temporal that it waits, and for what.
func TestAStoreThatIsAwayIsWaitedForByAnActivity(t *testing.T) {
	w := newWorld()
	w.later("RecordRegion lon1", 3*time.Second)
	p := newPlay(t, w)
	tasks := p.tasks()
	apply := p.command(0, region.ApplyUpdate, "a", wants(1))
	p.removedAt(time.Hour)
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	apply.ok(t)
	waited := 0
	for _, name := range *tasks {
		if name == "RecordRegion" {
			waited++
		}
	}
	if waited != 3 { // one was within the workflow task, which does not wait
		t.Errorf("%d attempts at the record were activity tasks, of %v", waited, *tasks)
	}
}

func TestWhatTheStoreRefusesIsNotAskedAgain(t *testing.T) {
	w := newWorld()
	w.fails("RecordRegion lon1", 1, fault.New(fault.Invalid, "refused by the database"))
	p := newPlay(t, w)
	apply := p.command(0, region.ApplyUpdate, "a", wants(1))
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	if got := w.did("RecordRegion"); apply.Err == nil || got != "RecordRegion lon1" {
		t.Errorf("after the refusal %v it did %s", apply.Err, got)
	}
}

// TestSearchAttributesAreSetWhenTheyChange looks through what is recorded: each time is an event and a write of Temporal's index.
func TestSearchAttributesAreSetWhenTheyChange(t *testing.T) {
	files, err := filepath.Glob("testdata/replay/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded histories: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var history struct {
			Events []struct {
				EventID string `json:"eventId"`
				Started struct {
					SearchAttributes attributes `json:"searchAttributes"`
				} `json:"workflowExecutionStartedEventAttributes"`
				Upsert struct {
					SearchAttributes attributes `json:"searchAttributes"`
				} `json:"upsertWorkflowSearchAttributesEventAttributes"`
			} `json:"events"`
		}
		if err := json.Unmarshal(data, &history); err != nil {
			t.Fatal(err)
		}
		now := map[string]string{}
		for _, e := range history.Events {
			for name, value := range e.Started.SearchAttributes.IndexedFields {
				now[name] = value.Data
			}
			for name, value := range e.Upsert.SearchAttributes.IndexedFields {
				if now[name] == value.Data {
					t.Errorf("%s: event %s sets %s to what it is", file, e.EventID, name)
				}
				now[name] = value.Data
			}
		}
	}
}

// attributes are search attributes as a history has them.
type attributes struct {
	IndexedFields map[string]struct {
		Data string `json:"data"`
	} `json:"indexedFields"`
}
