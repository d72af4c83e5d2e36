//go:build embedded && record

package workflows_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/workflows"
)

// TestRecordHistories runs every workflow on a real Temporal server over a world in memory, and keeps what Temporal wrote
// down in testdata/replay: plain JSON, without what names the machine. Replaying these holds later versions of the workflows
// to what running ones expect (workers/replay_test.go, replay_test.go). Run it with `make record` from code that is
// released, never to make a failing replay pass; keep the old files for as long as runs of that age may live.
func TestRecordHistories(t *testing.T) {
	s := newStage(t)
	s.regions()
	s.services()
	s.keep("testdata/replay", s.end())
}

// TestRecordContactHistories records codes: one that is sent at the second try, and one that cannot be sent.
func TestRecordContactHistories(t *testing.T) {
	s := emptyStage(t)
	p := &post{contact: pending(), failing: []error{fault.New(fault.Unavailable, "Twilio does not answer"), nil, fault.New(fault.Denied, "the number takes no SMS")}}
	s.serve([]string{queue.Flows, queue.Pages}, map[string]any{alert.VerifyWorkflow: workflows.VerifyContact}, &activities.Contacts{Records: p}, &activities.Pages{Messenger: p})
	for n, name := range []string{"VerifyContact-sent", "VerifyContact-not-sent"} {
		in := alert.VerifyInput{Contact: p.contact.ID, N: int64(n + 1)}
		s.must("start", s.flows.VerifyContact(s.ctx, in))
		id := alert.VerifyID(in.Contact, in.N)
		s.must("wait for its end", s.c.GetWorkflow(s.ctx, id, "").Get(s.ctx, nil))
		data, err := s.history(id, "")
		s.must("read "+id, err)
		s.must("keep "+name, os.WriteFile(filepath.Join("testdata/replay", name+".json"), data, 0o644))
	}
}

// TestRecordNoticeHistories records a notice whose first contact refuses it.
func TestRecordNoticeHistories(t *testing.T) {
	s := emptyStage(t)
	l := &letters{contacts: []alert.Channel{alert.Slack, alert.SMS}, refusals: map[alert.Channel]int{alert.Slack: 1}}
	s.serve([]string{queue.Flows, queue.Pages}, map[string]any{alert.NoticeWorkflow: workflows.SendNotice}, &activities.Alerts{Pages: l}, &activities.Notices{Rules: l}, &activities.Pages{Messenger: l})
	ends := time.Now().Add(time.Hour)
	in := alert.Silence{ID: "sil_1", Project: "shop", By: "ana", Comment: "the importer is slow", Begins: ends.Add(-5 * time.Hour), Ends: ends}.Notice()
	s.must("start", s.flows.SendNotice(s.ctx, in))
	s.must("start again", s.flows.SendNotice(s.ctx, in))
	id := alert.NoticeID(in.Key)
	s.must("wait for its end", s.c.GetWorkflow(s.ctx, id, "").Get(s.ctx, nil))
	data, err := s.history(id, "")
	s.must("read "+id, err)
	s.must("keep SendNotice", os.WriteFile("testdata/replay/SendNotice.json", data, 0o644))
}

// TestRecordAlertHistories records an alert that its source resolves, and one that a person closes.
func TestRecordAlertHistories(t *testing.T) {
	a := newAlarmed(t, quickSteps())
	a.serves()
	a.plays()
	for name, run := range map[string]string{"EscalateAlert-resolved": a.first, "EscalateAlert-closed": ""} {
		data, err := a.stage.history(alert.EscalateID("default", a.in.Hash), run)
		a.must(err)
		a.must(os.WriteFile(filepath.Join("testdata/replay", name+".json"), data, 0o644))
	}
}

// TestRecordCallbackHistories records a reply that acknowledges and is answered, one whose answer cannot be sent, and a forged callback.
func TestRecordCallbackHistories(t *testing.T) {
	s, d := emptyStage(t), newDesk(t)
	s.serve([]string{queue.Flows, queue.Pages}, map[string]any{alert.CallbackWorkflow: workflows.ProcessCallback},
		&activities.Callbacks{Alerts: d.s, Contacts: d.s, Flows: d}, &activities.Pages{Messenger: d})
	reply := alert.Meaning{Kind: alert.MeansCommand, From: d.contact("ana", alert.SMS).Address, Code: 1, Do: alert.AcknowledgeUpdate}
	for n, c := range []struct {
		name  string
		means alert.Meaning
		says  error
	}{
		{"ProcessCallback-answered", reply, nil}, {"ProcessCallback-not-answered", reply, fault.New(fault.Failed, "sms is not set up")},
		{"ProcessCallback-forged", alert.Meaning{Kind: alert.Forged, Why: "its signature is not Twilio's"}, nil},
	} {
		d.means, d.says = c.means, c.says
		seq := int64(n + 1)
		s.must("start", s.flows.ProcessCallback(s.ctx, alert.Callback{Seq: seq, Channel: alert.SMS, At: monday}))
		id := alert.CallbackID(seq)
		s.must("wait for its end", s.c.GetWorkflow(s.ctx, id, "").Get(s.ctx, nil))
		data, err := s.history(id, "")
		s.must("read "+id, err)
		s.must("keep "+c.name, os.WriteFile(filepath.Join("testdata/replay", c.name+".json"), data, 0o644))
	}
}

// regions: one is made at once; one waits for quota and goes on when it is told to; one cannot be made and is removed.
func (s *stage) regions() {
	nyc3, sgp1 := place("nyc3"), place("sgp1")
	s.w.fails("EnsureNetwork lon1", 2, fault.New(fault.Throttled, "slow down"))
	s.w.fails("EnsureCluster nyc3", 1, fault.New(fault.Quota, "droplet limit reached"))
	s.w.fails("AwaitParts sgp1", 1, fault.New(fault.Failed, "nats does not start"))
	s.apply("p1", []region.Spec{lon1(), nyc3, sgp1}, false)
	s.region(lon1(), region.Ready)
	s.region(nyc3, region.Failed)
	s.region(sgp1, region.Failed)
	_, err := s.flows.RetryRegion(s.ctx, "retry", nyc3.Key(), region.RetryInput{By: "ada"})
	s.must("retry", err)
	s.region(nyc3, region.Ready)
	_, err = s.flows.Kubeconfig(s.ctx, "kubeconfig", lon1().Key(), adas(make([]byte, 32)))
	s.must("kubeconfig", err)
	s.until("sgp1 is removed", func(w *world) bool { return !w.networks["sgp1"] && len(w.failing["AwaitParts sgp1"]) == 0 })
}

// services: releases go out, fail, do not compile, are gone back from, and follow a region that becomes ready.
func (s *stage) services() {
	s.w.fails("AwaitService lon1/2", 1, fault.New(fault.Failed, "lon1: it exits with 1"))
	s.w.fails("BuildImage 3", 1, fault.New(fault.Failed, "./main.go:7:2: undefined: fmt.Printl"))
	for i, want := range []release.Status{release.Ready, release.RolledBack, release.Failed, release.Ready} {
		in := request()
		if i == 3 {
			in.Origin = release.Origin{Image: "registry/hello:v4"}
		}
		got, err := s.flows.DeployService(s.ctx, fmt.Sprintf("deploy-%d", i), in)
		s.must("deploy", err)
		s.until(fmt.Sprintf("release %d %s", got.Release, want), func(w *world) bool {
			return w.releases[got.Release].Status == want && (want != release.Ready || w.services[hello].Current == got.Release)
		})
	}
	_, err := s.flows.RollbackService(s.ctx, "rollback", hello, release.RollbackInput{By: "ada"})
	s.must("rollback", err)
	s.until("release 5 is ready", func(w *world) bool { return w.services[hello].Current == 5 })
	s.apply("p2", []region.Spec{lon1(), place("nyc3"), place("sgp1")}, false) // sgp1 once more
	s.until("release 5 is in sgp1", func(w *world) bool { return w.running["sgp1/"+hello.String()] == 5 })
}

// end removes all there is, and returns the run that owned the service: a region that goes wakes another one.
func (s *stage) end() (owner string) {
	found, err := s.c.DescribeWorkflowExecution(s.ctx, hello.OperateID(), "")
	s.must("find the service's owner", err)
	owner = found.GetWorkflowExecutionInfo().GetExecution().GetRunId()
	for _, lift := range []bool{false, true} {
		_, err := s.flows.SuspendProject(s.ctx, fmt.Sprintf("suspend-%t", lift), account.SuspendInput{Project: hello.Project, Reason: account.ByOperator, Lift: lift, By: "ada"})
		s.must("suspend", err)
	}
	s.until("lon1 knows that it is not suspended", func(w *world) bool { return w.marks["lon1"] == "active 2" })
	_, err = s.flows.RemoveProject(s.ctx, "remove", account.RemoveInput{Project: hello.Project, Cascade: true, By: "ada"})
	s.must("remove", err)
	s.until("hello is killed", func(w *world) bool { return w.services[hello].Status == release.Killed })
	s.must("wait for its end", s.c.GetWorkflow(s.ctx, account.RemoveID(hello.Project), "").Get(s.ctx, nil))
	wanted := []region.Spec{lon1(), place("nyc3"), place("sgp1")}
	s.apply("p3", wanted, true)
	for _, r := range wanted {
		s.region(r, region.Deleted)
		s.must("wait for its end", s.c.GetWorkflow(s.ctx, r.Key().OperateID(), "").Get(s.ctx, nil))
	}
	s.must("wait for its end", s.c.GetWorkflow(s.ctx, hello.OperateID(), owner).Get(s.ctx, nil))
	return owner
}

// keep writes the histories. The names of files begin with the workflow's.
func (s *stage) keep(dir, owner string) {
	s.must("make the folder", os.MkdirAll(dir, 0o755))
	nyc3, sgp1 := place("nyc3").Key(), place("sgp1").Key()
	for name, id := range map[string]string{
		"PlanPlatform-create": region.PlanID("p1"), "PlanPlatform-destroy": region.PlanID("p3"), "ApplyPlan-create": region.ApplyID("p1"), "ApplyPlan-destroy": region.ApplyID("p3"),
		"OperateRegion-plain": lon1().Key().OperateID(), "OperateRegion-retried": nyc3.OperateID(), "OperateRegion-failed-and-made-again": sgp1.OperateID(),
		"BootstrapRegion-ready": lon1().Key().BootstrapID(1), "BootstrapRegion-waited-for-quota": nyc3.BootstrapID(1), "BootstrapRegion-removed": sgp1.BootstrapID(1),
		"SuspendProject": account.SuspendID(hello.Project), "RemoveProject": account.RemoveID(hello.Project),
		"TeardownRegion": lon1().Key().TeardownID(2), "OperateService": hello.OperateID(),
		"DeployRelease-ready": hello.DeployID(1), "DeployRelease-rolled-back": hello.DeployID(2), "DeployRelease-not-built": hello.DeployID(3), "DeployRelease-again": hello.DeployID(5),
		"DeployRelease-placed": hello.PlaceID(5, 1), "BuildImage-compiled": hello.BuildID(1), "BuildImage-not-compiled": hello.BuildID(3), "BuildImage-pinned": hello.BuildID(4),
	} {
		run := ""
		if id == hello.OperateID() {
			run = owner
		}
		data, err := s.history(id, run)
		s.must("read "+id, err)
		s.must("keep "+name, os.WriteFile(filepath.Join(dir, name+".json"), data, 0o644))
	}
}

func (s *stage) history(id, run string) ([]byte, error) {
	var h historypb.History
	for events := s.c.GetWorkflowHistory(s.ctx, id, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
		e, err := events.Next()
		if err != nil {
			return nil, err
		}
		h.Events = append(h.Events, e)
	}
	data, err := protojson.Marshal(&h)
	if err != nil {
		return nil, err
	}
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		return nil, err
	}
	anonymous(tree)
	data, err = json.MarshalIndent(tree, "", " ")
	return append(data, '\n'), err
}

// anonymous drops what names the machine and the process that a history was recorded on.
func anonymous(tree any) {
	switch node := tree.(type) {
	case map[string]any:
		for _, name := range []string{"identity", "workerInstanceKey", "stackTrace", "binaryChecksum", "buildId", "workerVersion"} {
			delete(node, name)
		}
		for _, child := range node {
			anonymous(child)
		}
	case []any:
		for _, child := range node {
			anonymous(child)
		}
	}
}

func (s *stage) apply(id string, wanted []region.Spec, destroy bool) {
	s.t.Helper()
	s.must("plan", s.flows.PlanPlatform(s.ctx, region.PlanInput{ID: id, Wanted: wanted, Destroy: destroy, CreatedBy: "ada"}))
	s.must("plan", s.flows.AwaitPlan(s.ctx, region.PlanID(id)))
	s.must("apply", s.flows.ApplyPlan(s.ctx, region.ApplyPlanInput{Plan: id, By: "ada"}))
	s.must("apply", s.flows.AwaitPlan(s.ctx, region.ApplyID(id)))
}
