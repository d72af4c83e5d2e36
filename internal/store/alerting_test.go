package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/store"
)

const shopPolicy = `
project: shop
policies: [{name: page, steps: [{targets: [{person: admin}]}]}]
default: {policy: page}
`

// withShop has the projects shop and cafe, and the user admin.
func withShop(t *testing.T) *store.Store {
	t.Helper()
	s := fresh(t)
	must(t, s.Bootstrap(t.Context(), account.Hash("secret"), "admin.token"))
	must(t, s.EnsureProject(t.Context(), "shop"))
	must(t, s.EnsureProject(t.Context(), "cafe"))
	return s
}

func policy(t *testing.T, file string) alert.Rules {
	t.Helper()
	r, err := alert.ParseRules([]byte(file))
	must(t, err)
	return r
}

func TestRulesAreAppliedByVersion(t *testing.T) {
	s := withShop(t)
	before, err := s.Rules(t.Context(), "shop")
	must(t, err)
	if before.Version != 0 || before.Default.Policy != "" || before.Default.Name != "default" {
		t.Errorf("a project without rules has %+v", before)
	}
	first, err := s.ApplyRules(t.Context(), policy(t, shopPolicy), "ana")
	must(t, err)
	again, err := s.ApplyRules(t.Context(), policy(t, shopPolicy), "ana")
	must(t, err)
	if first.Version != 1 || again.Version != 1 {
		t.Errorf("versions are %d and %d", first.Version, again.Version)
	}
	other := policy(t, strings.ReplaceAll(shopPolicy, "person: admin", "email: ops@example.com"))
	_, err = s.ApplyRules(t.Context(), other, "bob")
	wantFault(t, err, fault.Conflict, "version 1", "not 0", "plan again")
	other.Version = 1
	second, err := s.ApplyRules(t.Context(), other, "bob")
	must(t, err)
	read, err := s.Rules(t.Context(), "shop")
	must(t, err)
	if second.Version != 2 || read.Version != 2 || read.Policies[0].Steps[0].Targets[0].Email != "ops@example.com" || read.Limits.PagesPerAlert != 10 {
		t.Errorf("applied is %+v, read %+v", second, read)
	}
	if other, err := s.Rules(t.Context(), "cafe"); err != nil || other.Version != 0 {
		t.Errorf("another project has %+v, %v", other, err)
	}
	events, err := s.Events(t.Context(), 0, []string{"shop"}, 0)
	must(t, err)
	told := 0
	for _, e := range events {
		if e.Kind == alert.RulesAppliedEvent {
			told++
		}
	}
	if told != 2 {
		t.Errorf("%d changes are told, want 2", told)
	}
}

func TestRulesThatCannotHoldChangeNothing(t *testing.T) {
	s := withShop(t)
	_, err := s.ApplyRules(t.Context(), policy(t, strings.ReplaceAll(shopPolicy, "person: admin", "person: ghost")), "ana")
	wantFault(t, err, fault.Invalid, "policies[0].steps[0].targets[0].person", `"ghost"`)
	_, err = s.ApplyRules(t.Context(), policy(t, strings.ReplaceAll(shopPolicy, "project: shop", "project: nowhere")), "ana")
	wantFault(t, err, fault.NotFound, "nowhere")
	_, err = s.ApplyRules(t.Context(), alert.Rules{Project: "shop"}, "ana")
	wantFault(t, err, fault.Invalid, "default.policy")
	if r, err := s.Rules(t.Context(), "shop"); err != nil || r.Version != 0 {
		t.Errorf("the rules are %+v, %v", r, err)
	}
}

// hush makes a silence of the project shop that begins and ends so long from now; no beginning is now.
func hush(t *testing.T, s *store.Store, id string, begins, ends time.Duration) alert.Silence {
	t.Helper()
	m, err := alert.ParseMatcher("service=till")
	must(t, err)
	v := alert.Silence{ID: id, Project: "shop", Match: []alert.Matcher{m}, Comment: "because", By: "ana", Ends: time.Now().Add(ends)}
	if begins > 0 {
		v.Begins = time.Now().Add(begins)
	}
	made, err := s.CreateSilence(t.Context(), v)
	must(t, err)
	return made
}

func TestSilencesAreKeptOnceListedAndEnded(t *testing.T) {
	s := withShop(t)
	now, later := hush(t, s, "sil_now", 0, time.Hour), hush(t, s, "sil_later", time.Hour, 2*time.Hour)
	if now.Status != alert.SilenceActive || later.Status != alert.SilenceAhead {
		t.Errorf("they are %s and %s", now.Status, later.Status)
	}
	if same := hush(t, s, "sil_now", 0, 3*time.Hour); !same.Ends.Equal(now.Ends) {
		t.Errorf("the same id made another: %+v", same)
	}
	all, err := s.Silences(t.Context(), "shop", time.Now())
	must(t, err)
	if len(all) != 2 || all[0].ID != "sil_now" || all[0].Match[0].String() != "service=till" {
		t.Errorf("there are %+v", all)
	}
	ended, err := s.EndSilence(t.Context(), "shop", "sil_later", "bob")
	must(t, err)
	if ended.Status != alert.SilenceOver || ended.EndedBy != "bob" || ended.Ends.After(time.Now()) {
		t.Errorf("ended is %+v", ended)
	}
	twice, err := s.EndSilence(t.Context(), "shop", "sil_later", "carla")
	must(t, err)
	if twice.EndedBy != "bob" {
		t.Errorf("ended twice by %s", twice.EndedBy)
	}
	_, err = s.EndSilence(t.Context(), "cafe", "sil_now", "bob")
	wantFault(t, err, fault.NotFound, "sil_now", "cafe")
	if all, err = s.Silences(t.Context(), "shop", time.Now()); err != nil || len(all) != 1 {
		t.Errorf("there are %+v, %v", all, err)
	}
	if all, err = s.Silences(t.Context(), "shop", time.Now().Add(time.Hour)); err != nil || len(all) != 0 {
		t.Errorf("in an hour there are %+v, %v", all, err)
	}
}

func TestSilencesArePagedAndCounted(t *testing.T) {
	s := withShop(t)
	for i := range store.MaxSilences {
		hush(t, s, fmt.Sprintf("sil_%d", i), 0, time.Hour+time.Duration(i%3)*time.Minute)
	}
	_, err := s.CreateSilence(t.Context(), alert.Silence{ID: "one more", Project: "shop", Match: []alert.Matcher{{Name: "a", Op: "=", Value: "b"}}, Comment: "c", By: "ana", Ends: time.Now().Add(time.Hour)})
	wantFault(t, err, fault.Quota, "200", "end one")
	seen, cursor := map[string]bool{}, ""
	for range 10 {
		page, next, err := s.SilencePage(t.Context(), "shop", store.SilenceFilter{}, store.Page{Cursor: cursor, Limit: 33})
		must(t, err)
		for _, v := range page {
			seen[v.ID] = true
		}
		if cursor = next; next == "" {
			break
		}
	}
	if len(seen) != store.MaxSilences {
		t.Errorf("%d are listed", len(seen))
	}
	if page, _, err := s.SilencePage(t.Context(), "shop", store.SilenceFilter{Maintenance: true}, store.Page{}); err != nil || len(page) != 0 {
		t.Errorf("maintenance windows are %+v, %v", page, err)
	}
}

func TestBadSilencesChangeNothing(t *testing.T) {
	s := withShop(t)
	_, err := s.CreateSilence(t.Context(), alert.Silence{ID: "bad", Project: "shop", Ends: time.Now().Add(31 * 24 * time.Hour)})
	wantFault(t, err, fault.Invalid, "match", "comment", "30 days")
	if all, err := s.Silences(t.Context(), "shop", time.Now()); err != nil || len(all) != 0 {
		t.Errorf("there are %+v, %v", all, err)
	}
}

func TestSilencesOfLongAgoAreForgotten(t *testing.T) {
	s := withShop(t)
	hush(t, s, "sil_kept", 0, time.Hour)
	hush(t, s, "sil_over", 0, time.Hour)
	_, err := s.EndSilence(t.Context(), "shop", "sil_over", "ana")
	must(t, err)
	none, err := s.ForgetSilences(t.Context(), time.Now().Add(-time.Hour))
	must(t, err)
	n, err := s.ForgetSilences(t.Context(), time.Now().Add(2*time.Hour))
	must(t, err)
	if left, _, err := s.SilencePage(t.Context(), "shop", store.SilenceFilter{Over: true}, store.Page{}); err != nil || none != 0 || n != 1 || len(left) != 1 || left[0].ID != "sil_kept" {
		t.Errorf("%d are forgotten, left are %+v, %v", n, left, err)
	}
}
