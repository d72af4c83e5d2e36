package relay_test

import (
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/oncall"
	"github.com/m3o/platform/internal/relay"
	"github.com/m3o/platform/internal/store"
)

// rota is a project whose people take turns, and what the job says of it.
type rota struct {
	t   *testing.T
	s   *store.Store
	job relay.Job
	by  store.Lease
	at  int64 // the last signal that was read
}

func newRota(t *testing.T, people ...string) *rota {
	t.Helper()
	s := open(t)
	must(t, s.Bootstrap(t.Context(), account.Hash("admin"), "admin.token"))
	must(t, s.EnsureProject(t.Context(), "shop"))
	r := &rota{t: t, s: s, job: relay.CheckGaps(s), by: store.Lease{Name: store.RelayLease, Holder: "one", Beat: 1}}
	for _, name := range people {
		r.joins(name)
	}
	rules := alert.DefaultRules("shop")
	rules.Default.Urgency = alert.Low
	rules.Schedules = []oncall.Schedule{{Name: "primary", Zone: "Europe/London", Layers: []oncall.Layer{
		{Name: "days", People: people, Rotation: oncall.Daily, Start: "2026-01-05T09:00"}}}}
	_, err := s.ApplyRules(t.Context(), rules, "ana")
	must(t, err)
	return r
}

// joins makes an active user who may act on the project's alerts.
func (r *rota) joins(name string) {
	r.t.Helper()
	ctx := r.t.Context()
	_, _, err := r.s.InviteUser(ctx, name, "", account.Hash("code of "+name), "admin")
	must(r.t, err)
	_, _, err = r.s.Redeem(ctx, account.Hash("code of "+name), "login", account.Hash(name))
	must(r.t, err)
	must(r.t, r.s.Grant(ctx, "shop", name, account.Developer, "admin"))
}

// verifies gives a person a contact that can be used.
func (r *rota) verifies(name string) alert.Contact {
	r.t.Helper()
	ctx := r.t.Context()
	c, err := r.s.CreateContact(ctx, name, alert.Email, name+"@example.com")
	must(r.t, err)
	n, err := r.s.BeginCode(ctx, name, c.ID)
	must(r.t, err)
	must(r.t, r.s.RecordCode(ctx, alert.CodeRecord{Contact: c.ID, N: n, Hash: alert.HashCode("ABCDEFGH"), Expires: time.Now().Add(time.Hour)}))
	_, err = r.s.VerifyContact(ctx, name, c.ID, "ABCDEFGH")
	must(r.t, err)
	return c
}

// says runs the job and returns what it said anew, as "trigger on-call/primary/ana".
func (r *rota) says() string {
	r.t.Helper()
	must(r.t, r.job.Do(r.t.Context(), r.by))
	signals, err := r.s.Signals(r.t.Context(), r.at, 0)
	must(r.t, err)
	var lines []string
	for _, s := range signals {
		r.at = s.Seq
		if s.Source != alert.FromOnCall || s.Project != "shop" || s.Summary == "" || s.Severity == "" {
			r.t.Errorf("a signal of a gap is %+v", s)
		}
		lines = append(lines, string(s.Action)+" "+s.DedupKey)
	}
	return strings.Join(lines, ", ")
}

func (r *rota) wants(what, want string) {
	r.t.Helper()
	if got := r.says(); got != want {
		r.t.Errorf("%s: it says %q, want %q", what, got, want)
	}
}

// TestGapsAreSaidAheadOnceAndResolvedWhenMended: bob has no contact, and is on call within a week.
func TestGapsAreSaidAheadOnceAndResolvedWhenMended(t *testing.T) {
	r := newRota(t, "ana", "bob")
	r.verifies("ana")
	r.wants("bob has no contact", "trigger on-call/primary/bob")
	r.wants("nothing is new", "")
	r.by.Beat, r.job = 2, relay.CheckGaps(r.s) // another worker relays now; the signal is not in a group yet
	r.wants("said again by another", "trigger on-call/primary/bob")
	r.wants("nothing is new", "")
	bobs := r.verifies("bob")
	r.wants("mended", "resolve on-call/primary/bob")
	r.wants("nothing is new", "")
	must(t, r.s.RefuseContact(t.Context(), bobs.ID, "the number is gone"))
	r.wants("and gone again", "trigger on-call/primary/bob")
	_, err := r.s.MoveUser(t.Context(), "ana", account.Suspended, "admin")
	must(t, err)
	r.wants("ana is suspended", "trigger on-call/primary/ana")
	r.joins("cho")
	r.verifies("cho")
	_, err = r.s.CreateOverride(t.Context(), oncall.Override{Project: "shop", Schedule: "primary", Person: "cho", Begins: time.Now().Add(-time.Minute),
		Ends: time.Now().Add(60 * 24 * time.Hour), By: "cho"})
	must(t, err)
	got := r.says()
	if !strings.Contains(got, "resolve on-call/primary/ana") || !strings.Contains(got, "resolve on-call/primary/bob") {
		t.Errorf("with an override it says %q", got)
	}
}

// TestAPersonWhomAPolicyNamesLosesTheirContact: nobody would notice before the policy's second step.
func TestAPersonWhomAPolicyNamesLosesTheirContact(t *testing.T) {
	r := newRota(t, "ana")
	r.verifies("ana")
	r.joins("bob")
	bobs := r.verifies("bob")
	rules, err := r.s.Rules(t.Context(), "shop")
	must(t, err)
	rules.Policies = []alert.Policy{{Name: "shop", Steps: []alert.Step{{Targets: []alert.Target{{Schedule: "primary"}}},
		{After: alert.Duration(time.Minute), Targets: []alert.Target{{Person: "bob"}}}}}}
	_, err = r.s.ApplyRules(t.Context(), rules, "ana")
	must(t, err)
	r.wants("all is well", "")
	must(t, r.s.RemoveContact(t.Context(), "bob", bobs.ID))
	r.wants("bob has no contact", "trigger on-call/policy shop/bob")
	r.wants("nothing is new", "")
	must(t, r.s.RemoveUser(t.Context(), "bob", "admin"))
	r.wants("bob is gone", "trigger on-call/policy shop/bob") // for another reason
}

// TestNobodyIsOnCallAhead: the schedule ends in some days.
func TestNobodyIsOnCallAhead(t *testing.T) {
	r := newRota(t, "ana")
	r.verifies("ana")
	r.wants("all is well", "")
	rules, err := r.s.Rules(t.Context(), "shop")
	must(t, err)
	rules.Schedules[0].Layers[0].Until = time.Now().Add(5 * 24 * time.Hour).UTC().Format("2006-01-02T15:04")
	_, err = r.s.ApplyRules(t.Context(), rules, "ana")
	must(t, err)
	r.wants("it ends", "trigger on-call/primary/")
	signals, err := r.s.Signals(t.Context(), 0, 0)
	must(t, err)
	if s := signals[0]; s.Severity != alert.Warning || !strings.Contains(s.Summary, "nobody is on call from ") || strings.Contains(s.Summary, "until") {
		t.Errorf("five days ahead it says %+v", s)
	}
}
