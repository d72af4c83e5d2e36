package activities

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/m3o/platform/internal/gatecall"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// Gateways calls the regions' gateways from outside, as users do.
type Gateways struct {
	Caller *gatecall.Caller
	Poll   time.Duration
}

// Bounds of a check.
const (
	checkTimeout = 5 * time.Second
	maxAnswer    = 1 << 20
)

// CheckGateway returns when the region's gateway answers from outside. It only reads.
func (a *Gateways) CheckGateway(ctx context.Context, r region.Region) error {
	w := watching(ctx, a.Poll)
	defer w.close()
	err := w.until(func() (string, bool, error) {
		_, err := a.Caller.Ask(ctx, gatecall.Question{Region: r.Spec.Key(), API: r.Endpoints.API, Route: "-/readyz", Within: checkTimeout, Most: maxAnswer})
		return "", true, err
	})
	if err != nil {
		return fail(fmt.Errorf("check %s: %w", r.Spec.Key(), err))
	}
	return nil
}

// releaseReport is what a gateway says of a release.
type releaseReport struct {
	Endpoints []struct {
		Address string `json:"address"`
		OK      bool   `json:"ok"`
		Error   string `json:"error"`
	} `json:"endpoints"`
}

// VerifyRelease returns when the region's gateway reaches every wanted instance of the release, or why it does not. It
// only reads; the activity's deadline bounds the wait.
func (a *Gateways) VerifyRelease(ctx context.Context, in release.Placement) error {
	w := watchingIn(ctx, in.Region.Key().String(), a.Poll)
	defer w.close()
	wanted := in.Release.Spec.Replicas
	err := w.until(func() (string, bool, error) {
		report, err := a.report(ctx, in)
		return report.reason(wanted), report.reached() >= wanted, err
	})
	if err != nil {
		return failUsers(fmt.Errorf("verify %s in %s: %w", in.Release.Service, in.Region.Key(), err))
	}
	return nil
}

// reached counts the instances that answer the gateway.
func (r releaseReport) reached() int {
	n := 0
	for _, e := range r.Endpoints {
		if e.OK {
			n++
		}
	}
	return n
}

func (r releaseReport) reason(wanted int) string {
	text := fmt.Sprintf("the gateway reaches %d of %d instances", r.reached(), wanted)
	for _, e := range r.Endpoints {
		if !e.OK {
			return fmt.Sprintf("%s: %s: %s", text, e.Address, e.Error)
		}
	}
	return text
}

func (a *Gateways) report(ctx context.Context, in release.Placement) (report releaseReport, err error) {
	r := in.Release
	route := fmt.Sprintf("-/release/%s/%s/%d", r.Service.Project, r.Service.Name, r.Number)
	if r.Spec.Health != "" {
		route += "?health=" + url.QueryEscape(r.Spec.Health)
	}
	err = a.Caller.Read(ctx, gatecall.Question{Region: in.Region.Key(), API: in.Endpoint.API, Route: route, Scope: "releases:read",
		Within: checkTimeout, Most: maxAnswer}, &report)
	return report, err
}
