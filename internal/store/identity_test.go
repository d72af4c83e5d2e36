package store_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/store"
)

// joins makes an active user whose first token is the hash of the name.
func joins(t *testing.T, s *store.Store, name string) account.User {
	t.Helper()
	_, _, err := s.InviteUser(t.Context(), name, name+"@example.com", hash("code of "+name), "admin")
	must(t, err)
	_, user, err := s.Redeem(t.Context(), hash("code of "+name), "login", hash(name))
	must(t, err)
	return user
}

// applies records a region of the platform that a plan made.
func applies(t *testing.T, s *store.Store, platform string) {
	t.Helper()
	r := region.Region{Spec: region.Spec{Platform: platform, Name: "lon1"}, Status: region.Ready, Version: 1}
	plan := region.Plan{ID: "plan for " + platform}
	must(t, s.SavePlan(t.Context(), plan, []region.Spec{r.Spec}))
	must(t, s.MovePlan(t.Context(), plan.ID, region.PlanOpen, region.PlanApplied))
	must(t, s.RecordRegion(t.Context(), r))
}

func TestTheAdministratorIsLetInWhileNobodyElseOperates(t *testing.T) {
	s := fresh(t)
	must(t, s.Bootstrap(t.Context(), hash("leaked"), "admin.token"))
	wantFault(t, s.Bootstrap(t.Context(), hash("new"), "admin.token"), fault.Conflict, "nothing was changed")
	admin, err := s.UserNamed(t.Context(), "admin")
	must(t, err)
	if told, err := s.Events(t.Context(), 0, nil, 0); err != nil || len(told) > 0 {
		t.Errorf("an empty platform was told %+v, %v", told, err)
	}
	must(t, s.RevokeToken(t.Context(), admin.ID, "admin.token", "admin"))
	for range 2 {
		must(t, s.Bootstrap(t.Context(), hash("new"), "admin.token"))
	}
	p, err := s.Principal(t.Context(), hash("new"))
	must(t, err)
	if p.Subject != "admin" || !p.May(account.WriteUsers, "") || !p.Token.ExpiresAt.IsZero() || len(p.Warnings(time.Now())) != 1 {
		t.Errorf("the administrator is %+v", p)
	}
	_, err = s.Principal(t.Context(), hash("leaked"))
	wantFault(t, err, fault.Unauthenticated, "not known")
	_, err = s.MoveUser(t.Context(), "admin", account.Suspended, "admin")
	wantFault(t, err, fault.Conflict, "last active operator")
	wantFault(t, s.Bootstrap(t.Context(), []byte("the token itself"), "x"), fault.Invalid)
}

// TestAnAdministratorWhoWasSentAwayStaysAway as long as somebody operates the platform, and comes back with a word.
func TestAnAdministratorWhoWasSentAwayStaysAway(t *testing.T) {
	for name, away := range map[string]func(s *store.Store) error{
		"suspended": func(s *store.Store) error {
			_, err := s.MoveUser(t.Context(), "admin", account.Suspended, "ada")
			return err
		},
		"removed": func(s *store.Store) error { return s.RemoveUser(t.Context(), "admin", "ada") },
		"demoted": func(s *store.Store) error { return s.Revoke(t.Context(), "", "admin", account.Operator, "ada") },
	} {
		t.Run(name, func(t *testing.T) {
			s := fresh(t)
			now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			s.SetClock(func() time.Time { return now })
			must(t, s.Bootstrap(t.Context(), hash("admin"), "admin.token"))
			joins(t, s, "ada")
			must(t, s.Grant(t.Context(), "", "ada", account.Operator, "admin"))
			must(t, away(s))
			wantFault(t, s.Bootstrap(t.Context(), hash("admin"), "admin.token"), fault.Conflict, "active operator already")
			if p, err := s.Principal(t.Context(), hash("admin")); err == nil && p.May(account.WriteUsers, "") {
				t.Errorf("the administrator is back: %+v", p)
			}
			now = now.Add(account.TokenLife) // ada's token expired: nobody operates
			must(t, s.Bootstrap(t.Context(), hash("admin"), "admin.token"))
			if p, err := s.Principal(t.Context(), hash("admin")); err != nil || !p.May(account.WriteUsers, "") {
				t.Errorf("the administrator is %+v, %v", p, err)
			}
			told, err := s.Events(t.Context(), 0, nil, 0)
			must(t, err)
			if last := told[len(told)-1]; last.Kind != "user.admitted" || last.Subject != "admin" || !strings.Contains(last.Message, "admin.token") {
				t.Errorf("told %+v", last)
			}
		})
	}
}

func TestTwoPeopleNameTheirTokensAlike(t *testing.T) {
	s := fresh(t)
	ada, eve := joins(t, s, "ada"), joins(t, s, "eve")
	for _, u := range []account.User{ada, eve} {
		_, err := s.CreateToken(t.Context(), account.TokenSpec{Owner: u.ID, Kind: account.Person, Name: "laptop"}.WithDefaults(), hash("laptop of "+u.Name))
		must(t, err)
	}
	for _, token := range []string{"laptop of ada", "laptop of eve"} {
		if _, err := s.Principal(t.Context(), hash(token)); err != nil {
			t.Errorf("%s: %v", token, err)
		}
	}
	_, err := s.CreateToken(t.Context(), account.TokenSpec{Owner: ada.ID, Kind: account.Person, Name: "laptop"}.WithDefaults(), hash("another"))
	wantFault(t, err, fault.Exists, `"laptop"`)
}

func TestTokensExpireAfterNinetyDaysAndSayWhenTheyWereUsed(t *testing.T) {
	s := fresh(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s.SetClock(func() time.Time { return now })
	ada := joins(t, s, "ada")
	_, err := s.Principal(t.Context(), hash("ada"))
	must(t, err)
	list, err := s.Tokens(t.Context(), ada.ID)
	must(t, err)
	if len(list) != 1 || !list[0].LastUsed.Equal(now) || !list[0].ExpiresAt.Equal(now.Add(account.TokenLife)) || list[0].CreatedBy != "ada" || list[0].Prefix != account.PersonToken {
		t.Errorf("listed %+v", list)
	}
	now = now.Add(account.TokenLife)
	_, err = s.Principal(t.Context(), hash("ada"))
	wantFault(t, err, fault.Unauthenticated, "expired")
}

func TestAReaderDoesNotWaitForAWriter(t *testing.T) {
	s := fresh(t)
	joins(t, s, "ada")
	stop := s.Write()
	began := time.Now()
	_, err := s.Principal(t.Context(), hash("ada")) // its use is to be kept
	if took := time.Since(began); err != nil || took > 3*time.Second {
		t.Errorf("it took %s: %v", took, err)
	}
	stop()
	p, err := s.Principal(t.Context(), hash("ada"))
	must(t, err)
	if list, err := s.Tokens(t.Context(), p.ID); err != nil || list[0].LastUsed.IsZero() {
		t.Errorf("the use was never kept: %+v, %v", list, err)
	}
}

func TestACodeIsGoodOnceWhateverHappensAtOnce(t *testing.T) {
	s := fresh(t)
	_, _, err := s.InviteUser(t.Context(), "ada", "", hash("code"), "admin")
	must(t, err)
	var wins sync.Map
	var together sync.WaitGroup
	for i := range 8 {
		together.Go(func() {
			if _, _, err := s.Redeem(t.Context(), hash("code"), "login", hash(strings.Repeat("x", i))); err == nil {
				wins.Store(i, true)
			} else if !fault.Is(err, fault.Unauthenticated) {
				t.Error(err)
			}
		})
	}
	together.Wait()
	n := 0
	wins.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("the code was good %d times", n)
	}
}

func TestACodeEndsInTimeAndWhenAnotherIsMade(t *testing.T) {
	s := fresh(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s.SetClock(func() time.Time { return now })
	_, expires, err := s.InviteUser(t.Context(), "ada", "", hash("first"), "admin")
	must(t, err)
	_, _, err = s.RenewInvitation(t.Context(), "ada", hash("second"), "admin")
	must(t, err)
	_, _, err = s.Redeem(t.Context(), hash("first"), "login", hash("a"))
	wantFault(t, err, fault.Unauthenticated, "ask for another")
	now = expires
	_, _, err = s.Redeem(t.Context(), hash("second"), "login", hash("a"))
	wantFault(t, err, fault.Unauthenticated, "expired")
	if _, _, err := s.InviteUser(t.Context(), "ada", "", hash("third"), "admin"); !fault.Is(err, fault.Exists) {
		t.Errorf("invited twice: %v", err)
	}
	for name, mail := range map[string]string{"Ada": "", "": "", "a b": "", "ada2": "no address", strings.Repeat("a", 64): ""} {
		_, _, err := s.InviteUser(t.Context(), name, mail, hash(name), "admin")
		wantFault(t, err, fault.Invalid)
	}
}

func TestARoleReachesTokensThatExist(t *testing.T) {
	s := fresh(t)
	joins(t, s, "ada")
	may := func(need account.Permission, project string) bool {
		t.Helper()
		p, err := s.Principal(t.Context(), hash("ada"))
		must(t, err)
		return p.May(need, project)
	}
	if may(account.ReadServices, "default") {
		t.Error("without a role she reads services")
	}
	for range 2 {
		must(t, s.Grant(t.Context(), "default", "ada", account.Developer, "admin"))
	}
	if !may(account.WriteServices, "default") || may(account.WriteServices, "shop") || may(account.ReadRegions, "") {
		t.Error("a developer of one project is not that")
	}
	must(t, s.Revoke(t.Context(), "default", "ada", account.Developer, "admin"))
	if may(account.ReadServices, "default") {
		t.Error("the role that was taken is held")
	}
	wantFault(t, s.Revoke(t.Context(), "default", "ada", account.Developer, "admin"), fault.NotFound, "no developer of project default")
	wantFault(t, s.Grant(t.Context(), "default", "ada", account.Operator, "admin"), fault.Invalid, "operator", "there are owner")
	wantFault(t, s.Grant(t.Context(), "", "ada", account.Owner, "admin"), fault.Invalid, "there are operator")
	wantFault(t, s.Grant(t.Context(), "nowhere", "ada", account.Owner, "admin"), fault.NotFound, `no project "nowhere"`)
	wantFault(t, s.Grant(t.Context(), "default", "eve", account.Owner, "admin"), fault.NotFound, `no user "eve"`)
}

func TestASuspendedUserIsKeptOutAndLetInAgain(t *testing.T) {
	s := fresh(t)
	must(t, s.Bootstrap(t.Context(), hash("admin"), "admin.token"))
	joins(t, s, "ada")
	_, err := s.MoveUser(t.Context(), "ada", account.Suspended, "admin")
	must(t, err)
	_, err = s.Principal(t.Context(), hash("ada"))
	wantFault(t, err, fault.Unauthenticated, `user "ada" is suspended`)
	_, err = s.MoveUser(t.Context(), "ada", account.Active, "admin")
	must(t, err)
	_, err = s.Principal(t.Context(), hash("ada"))
	must(t, err)
	must(t, s.RemoveUser(t.Context(), "ada", "admin"))
	_, err = s.Principal(t.Context(), hash("ada"))
	wantFault(t, err, fault.Unauthenticated)
	joins(t, s, "ada") // another one of that name, with nothing of the first
}

// TestSomebodyAlwaysOperates: of two operators who do away with each other at once, one stays.
func TestSomebodyAlwaysOperates(t *testing.T) {
	for name, away := range map[string]func(s *store.Store, user string) error{
		"removed": func(s *store.Store, user string) error { return s.RemoveUser(t.Context(), user, "x") },
		"suspended": func(s *store.Store, user string) error {
			_, err := s.MoveUser(t.Context(), user, account.Suspended, "x")
			return err
		},
		"demoted": func(s *store.Store, user string) error { return s.Revoke(t.Context(), "", user, account.Operator, "x") },
	} {
		t.Run(name, func(t *testing.T) {
			processes := several(t, 2)
			s, users := processes[0], []string{"ada", "eve"}
			for _, u := range users {
				joins(t, s, u)
				must(t, s.Grant(t.Context(), "", u, account.Operator, "x"))
			}
			_, _, err := s.InviteUser(t.Context(), "invited", "", hash("never used"), "x") // no active operator
			must(t, err)
			must(t, s.Grant(t.Context(), "", "invited", account.Operator, "x"))
			errs := make([]error, 2)
			var together sync.WaitGroup
			for i, u := range users {
				together.Go(func() { errs[i] = away(processes[i], u) })
			}
			together.Wait()
			if (errs[0] == nil) == (errs[1] == nil) || !fault.Is(errs[0], fault.Conflict) && !fault.Is(errs[1], fault.Conflict) {
				t.Errorf("of two operators went away: %v", errs)
			}
		})
	}
}

func TestTheDefaultProjectBelongsToTheFirstPlatform(t *testing.T) {
	s := fresh(t)
	places := func() (names []string) {
		t.Helper()
		regions, err := s.PlacesOf(t.Context(), "default")
		must(t, err)
		for _, r := range regions {
			names = append(names, r.Spec.Key().String())
		}
		return names
	}
	must(t, s.RecordRegion(t.Context(), region.Region{Spec: region.Spec{Platform: "stray", Name: "x"}, Status: region.Ready, Version: 1}))
	if got := places(); got != nil {
		t.Errorf("before the first apply it has places: %v", got)
	}
	applies(t, s, "micro")
	applies(t, s, "macro")
	if got := places(); !slices.Equal(got, []string{"micro/lon1"}) {
		t.Errorf("its places are %v", got)
	}
}

func TestAProjectBelongsToOnePlatform(t *testing.T) {
	s := fresh(t)
	_, err := s.CreateProject(t.Context(), "shop", "", "ada")
	wantFault(t, err, fault.Invalid, "platform", "there is none yet")
	applies(t, s, "micro")
	shop, err := s.CreateProject(t.Context(), "shop", "", "ada")
	must(t, err)
	if shop.Platform != "micro" || shop.Status != account.ProjectActive || shop.CreatedBy != "ada" {
		t.Errorf("made %+v", shop)
	}
	applies(t, s, "macro")
	_, err = s.CreateProject(t.Context(), "bank", "", "ada")
	wantFault(t, err, fault.Invalid, "platform", "macro, micro")
	_, err = s.CreateProject(t.Context(), "bank", "mirco", "ada")
	wantFault(t, err, fault.NotFound, `"mirco"`, `"micro"`)
	_, err = s.CreateProject(t.Context(), "bank", "macro", "ada")
	must(t, err)
	_, err = s.CreateProject(t.Context(), "shop", "macro", "ada")
	wantFault(t, err, fault.Exists)
	for _, name := range []string{"No Label", "a--b", strings.Repeat("a", 41)} {
		_, err := s.CreateProject(t.Context(), name, "micro", "ada")
		wantFault(t, err, fault.Invalid, name)
	}
	for _, project := range []string{"shop", "bank"} {
		must(t, s.RecordService(t.Context(), release.Service{Key: release.Key{Project: project, Name: "cart"}, Status: release.Running, Version: 1}))
	}
	on, err := s.ServicesOn(t.Context(), "macro")
	must(t, err)
	if len(on) != 1 || on[0].Key.Project != "bank" {
		t.Errorf("on macro are %+v", on)
	}
}

func TestLiftingOneReasonLeavesTheOthers(t *testing.T) {
	s := fresh(t)
	change := func(reason account.Reason, lift bool) account.Project {
		t.Helper()
		p, err := s.RecordSuspension(t.Context(), account.SuspendInput{Project: "default", Reason: reason, Message: "because", Lift: lift, By: "ada"})
		must(t, err)
		return p
	}
	change(account.ByOperator, false)
	change(account.ByOperator, false)
	both := change(account.ByDunning, false)
	if both.Status != account.ProjectSuspended || both.Why() != "operator (because), dunning (because)" || both.Version != 2 {
		t.Errorf("suspended for two reasons: %+v", both)
	}
	_, err := s.AllocateRelease(t.Context(), release.Allocation{Request: request(hello), RequestKey: "a"})
	wantFault(t, err, fault.Denied, "suspended: operator (because), dunning (because)")
	reworded, err := s.RecordSuspension(t.Context(), account.SuspendInput{Project: "default", Reason: account.ByOperator, Message: "it sends spam", By: "eve"})
	must(t, err)
	if reworded.Why() != "operator (it sends spam), dunning (because)" || reworded.Version != 3 || reworded.Suspensions[0].By != "eve" {
		t.Errorf("suspended once more with another message: %+v", reworded)
	}
	if one := change(account.ByOperator, true); one.Status != account.ProjectSuspended || one.Why() != "dunning (because)" {
		t.Errorf("after one was lifted: %+v", one)
	}
	change(account.ByDunning, true)
	if none := change(account.ByDunning, true); none.Status != account.ProjectActive || none.Version != 5 {
		t.Errorf("after both were lifted: %+v", none)
	}
	allocate(t, s, hello, "a")
	_, err = s.RecordSuspension(t.Context(), account.SuspendInput{Project: "default", Reason: "mood"})
	wantFault(t, err, fault.Invalid, "reason", "mood")
}

func TestAProjectIsErasedWhole(t *testing.T) {
	s := fresh(t)
	applies(t, s, "micro")
	_, err := s.CreateProject(t.Context(), "shop", "micro", "ada")
	must(t, err)
	ada := joins(t, s, "ada")
	must(t, s.Grant(t.Context(), "shop", "ada", account.Owner, "admin"))
	ci, err := s.CreateServiceAccount(t.Context(), account.ServiceAccount{Project: "shop", Name: "ci", Role: account.Developer, CreatedBy: "ada"})
	must(t, err)
	for _, spec := range []account.TokenSpec{{Owner: ci.ID, Kind: account.Service, Name: "ci"}, {Owner: ada.ID, Kind: account.Person, Name: "shop", Project: "shop"}} {
		_, err = s.CreateToken(t.Context(), spec.WithDefaults(), hash("token "+spec.Name))
		must(t, err)
	}
	if p, err := s.Principal(t.Context(), hash("token ci")); err != nil || p.Subject != "shop/ci" || p.Project != "shop" || !p.May(account.WriteServices, "shop") || p.May(account.WriteServices, "default") {
		t.Errorf("the service account is %+v, %v", p, err)
	}
	cart := release.Key{Project: "shop", Name: "cart"}
	allocate(t, s, cart, "a") // pending: its owner may not have recorded the service
	_, err = s.BeginRemoval(t.Context(), account.RemoveInput{Project: "shop", By: "ada"})
	wantFault(t, err, fault.Conflict, "has services: cart")
	for range 2 {
		closed, err := s.BeginRemoval(t.Context(), account.RemoveInput{Project: "shop", Cascade: true, By: "ada"})
		must(t, err)
		if closed.Status != account.ProjectRemoving {
			t.Errorf("it is %s", closed.Status)
		}
	}
	_, err = s.AllocateRelease(t.Context(), release.Allocation{Request: request(cart), RequestKey: "b"})
	wantFault(t, err, fault.Conflict, "is being removed")
	wantFault(t, s.EraseProject(t.Context(), "default", "ada"), fault.Conflict)
	for range 2 {
		must(t, s.EraseProject(t.Context(), "shop", "ada"))
	}
	_, err = s.Project(t.Context(), "shop")
	wantFault(t, err, fault.NotFound)
	for _, token := range []string{"token ci", "token shop"} {
		_, err := s.Principal(t.Context(), hash(token))
		wantFault(t, err, fault.Unauthenticated)
	}
	if p, err := s.Principal(t.Context(), hash("ada")); err != nil || len(p.Projects) > 0 {
		t.Errorf("of ada is left %+v, %v", p, err)
	}
	if left, err := s.Events(t.Context(), 0, []string{"shop"}, 0); err != nil || len(left) > 0 {
		t.Errorf("of its events are left %+v, %v", left, err)
	}
	_, err = s.CreateProject(t.Context(), "shop", "micro", "eve")
	wantFault(t, err, fault.Exists, `there was a project "shop"`, "choose another")
	must(t, s.EnsureProject(t.Context(), "shop"))
	_, err = s.AllocateRelease(t.Context(), release.Allocation{Request: request(cart), RequestKey: "c"})
	wantFault(t, err, fault.NotFound, "shop")
	if all, err := s.Projects(t.Context()); err != nil || len(all) != 2 { // default and platform, which are always there
		t.Errorf("the projects are %+v, %v", all, err)
	}
	_, err = s.BeginRemoval(t.Context(), account.RemoveInput{Project: "default", Cascade: true})
	wantFault(t, err, fault.Conflict, "default")
}

func TestTheProjectOfThePlatformsAlertsIsReserved(t *testing.T) {
	s := fresh(t)
	const name = account.PlatformProject
	_, err := s.CreateProject(t.Context(), name, "", "eve")
	wantFault(t, err, fault.Conflict, `"platform" is reserved for the platform's own alerts`, "choose another name")
	_, err = s.BeginRemoval(t.Context(), account.RemoveInput{Project: name, Cascade: true})
	wantFault(t, err, fault.Conflict, "it cannot be removed")
	_, err = s.RecordSuspension(t.Context(), account.SuspendInput{Project: name, Reason: account.ByOperator})
	wantFault(t, err, fault.Conflict, "it is never suspended")
	cart := request(release.Key{Project: name, Name: "cart"})
	_, err = s.AllocateRelease(t.Context(), release.Allocation{Request: cart, RequestKey: "a"})
	wantFault(t, err, fault.Conflict, "no service runs in it")
	if p, err := s.Project(t.Context(), name); err != nil || p.Status != account.ProjectActive || p.Takes() == nil {
		t.Errorf("it is %+v, %v", p, err)
	}
}

func TestSessionsEndWithTheirTokens(t *testing.T) {
	s := fresh(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s.SetClock(func() time.Time { return now })
	ada := joins(t, s, "ada")
	begin := func(id string) {
		t.Helper()
		must(t, s.BeginSession(t.Context(), hash(id), hash("ada"), now.Add(time.Hour)))
		if token, err := s.Session(t.Context(), hash(id)); err != nil || string(token) != string(hash("ada")) {
			t.Errorf("the session is of %x, %v", token, err)
		}
	}
	ended := func(id string) {
		t.Helper()
		_, err := s.Session(t.Context(), hash(id))
		wantFault(t, err, fault.Unauthenticated, "has ended")
	}
	begin("a")
	must(t, s.EndSession(t.Context(), hash("a")))
	ended("a")
	begin("b")
	now = now.Add(time.Hour)
	ended("b")
	begin("c")
	must(t, s.RevokeToken(t.Context(), ada.ID, "login", "ada"))
	ended("c")
	wantFault(t, s.RevokeToken(t.Context(), ada.ID, "login", "ada"), fault.NotFound)
}

func TestWhoIsToldOfWhoDidWhat(t *testing.T) {
	s := fresh(t)
	joins(t, s, "ada")
	must(t, s.Grant(t.Context(), "default", "ada", account.Viewer, "eve"))
	events, err := s.Events(t.Context(), 0, nil, 0)
	must(t, err)
	var lines []string
	for _, e := range events {
		lines = append(lines, e.Project+" "+e.Kind+" "+e.Subject+" "+e.Message)
	}
	want := []string{" user.invited ada by admin", " user.active ada by ada", " token.created ada/login by ada", "default role.granted ada viewer, by eve"}
	if !slices.Equal(lines, want) {
		t.Errorf("told:\n%s", strings.Join(lines, "\n"))
	}
	if members, err := s.Members(t.Context(), "default"); err != nil || len(members) != 1 || members[0].Name != "ada" || members[0].Roles[0] != account.Viewer {
		t.Errorf("members are %+v, %v", members, err)
	}
}
