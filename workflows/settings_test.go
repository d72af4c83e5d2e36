package workflows_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

// asking deploys with what change makes of a request that names nothing.
func (p *play) asking(d time.Duration, id string, change func(*release.Request)) *answer {
	r := request()
	r.Spec = release.Spec{}
	change(&r)
	return p.command(d, release.DeployUpdate, id, r)
}

func replicas(n int) func(*release.Request) {
	return func(r *release.Request) { r.Spec.Replicas = n }
}

func env(name, value string) func(*release.Request) {
	return func(r *release.Request) { r.Spec.Env = map[string]string{name: value} }
}

func nothing(*release.Request) {}

// has checks what a release keeps, and of which.
func (w *world) has(t *testing.T, number, follows, replicas int, env string) {
	t.Helper()
	r := w.releases[number]
	if r.Follows != follows || r.Spec.Replicas != replicas || fmt.Sprint(r.Spec.Env) != "map["+env+"]" {
		t.Errorf("release %d follows %d with %d replicas and env %v; want %d, %d, %s", number, r.Follows, r.Spec.Replicas, r.Spec.Env, follows, replicas, env)
	}
}

func TestARedeployKeepsWhatItDoesNotName(t *testing.T) {
	p := newPlay(t, worldWith("lon1"))
	p.asking(0, "a", func(r *release.Request) {
		r.Spec = release.Spec{Access: release.Public, Replicas: 2, Env: map[string]string{"A": "1"}}
	})
	p.asking(time.Hour, "b", nothing)
	p.asking(2*time.Hour, "c", env("B", "2"))
	p.rollback(3*time.Hour, "d", 1)
	p.asking(4*time.Hour, "e", func(r *release.Request) { r.Reset = []string{"replicas"} })
	p.expect(5*time.Hour, "lon1 5", release.Running, 5)
	p.served(6 * time.Hour)
	for _, r := range p.w.releases {
		if r.Spec.Access != release.Public {
			t.Errorf("release %d became %s", r.Number, r.Spec.Access)
		}
	}
	p.w.has(t, 1, 0, 2, "A:1")
	p.w.has(t, 2, 1, 2, "A:1")
	p.w.has(t, 3, 2, 2, "A:1 B:2")
	p.w.has(t, 4, 3, 2, "A:1")
	p.w.has(t, 5, 4, 1, "A:1")
}

// Each of two requests that come at once may name what the other does not: neither is lost.
func TestOfRequestsAtOnceEachFollowsTheOneBefore(t *testing.T) {
	w := worldWith("lon1")
	w.later("AllocateRelease b", 10*time.Second)
	p := newPlay(t, w)
	p.asking(0, "a", nothing)
	p.asking(time.Hour, "b", replicas(3))
	p.asking(time.Hour, "c", env("A", "1"))
	p.expect(2*time.Hour, "lon1 3", release.Running, 3)
	p.served(3 * time.Hour)
	w.has(t, 2, 1, 3, "")
	w.has(t, 3, 2, 3, "A:1")
}

// One that waits is followed though it is never deployed: it was asked for, and has not failed.
func TestWhatWaitsIsFollowed(t *testing.T) {
	w := worldWith("lon1")
	w.later("AwaitService lon1/1", 30*time.Second)
	w.later("DeleteService lon1", 30*time.Second)
	p := newPlay(t, w)
	p.asking(0, "a", env("A", "1"))
	p.asking(10*time.Second, "b", replicas(3))
	p.asking(20*time.Second, "c", env("C", "3"))
	p.expect(time.Hour, "lon1 3", release.Running, 3)
	p.served(2 * time.Hour)
	w.has(t, 2, 1, 3, "A:1")
	w.has(t, 3, 2, 3, "A:1 C:3")
}

// What a release that failed brought is not kept; one that was accepted before it failed keeps what it was given.
func TestSettingsOfAReleaseThatFailedAreNotKept(t *testing.T) {
	w := worldWith("lon1")
	w.failing["AwaitService lon1/2"] = []error{fault.New(fault.Failed, "it exits with 1")}
	p := newPlay(t, w)
	p.asking(0, "a", env("A", "1"))
	p.asking(time.Hour, "b", env("A", "bad"))
	p.asking(2*time.Hour, "c", replicas(2))
	p.expect(3*time.Hour, "lon1 3", release.Running, 3)
	p.served(4 * time.Hour)
	if r := w.releases[2]; r.Status != release.RolledBack {
		t.Fatalf("release 2 is %s", r.Status)
	}
	w.has(t, 2, 1, 1, "A:bad")
	w.has(t, 3, 1, 2, "A:1")
}

func TestAServiceThatWasKilledLeavesNoSettings(t *testing.T) {
	p := newPlay(t, worldWith("lon1"))
	p.asking(0, "a", replicas(3))
	killed := p.command(time.Hour, release.KillUpdate, "k", release.KillInput{By: "ada"})
	if err := p.serving(release.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	killed.ok(t)
	again := newPlay(t, p.w)
	again.asking(0, "b", nothing)
	again.served(time.Hour)
	p.w.has(t, 2, 0, 1, "")
}

// What is too much only together with what is kept is refused when it is known, and leaves nothing behind.
func TestARequestThatIsTooMuchWithWhatIsKeptIsRefused(t *testing.T) {
	many := func(prefix string) func(*release.Request) {
		return func(r *release.Request) {
			r.Spec.Env = map[string]string{}
			for i := range 150 {
				r.Spec.Env[fmt.Sprint(prefix, i)] = "x"
			}
		}
	}
	p := newPlay(t, worldWith("lon1"))
	p.asking(0, "a", many("A"))
	refused := p.asking(time.Hour, "b", many("B"))
	p.asking(2*time.Hour, "c", replicas(2))
	p.expect(3*time.Hour, "lon1 2", release.Running, 2)
	p.served(4 * time.Hour)
	var app *temporal.ApplicationError
	var output string
	var problems []fault.Problem
	if !errors.As(refused.Err, &app) || app.Type() != string(fault.Invalid) || app.Details(&output, &problems) != nil {
		t.Fatalf("answered %+v", refused)
	}
	if want := (fault.Problem{Field: "env", Message: "300 settings are more than 200"}); len(problems) != 1 || problems[0] != want {
		t.Errorf("the problems are %+v", problems)
	}
}
