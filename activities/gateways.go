package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// Permits signs what a gateway asks to see.
type Permits interface {
	// Permit returns a short-lived ticket for one scope in one region.
	Permit(in region.Key, scope string) (string, error)
}

// Gateways calls the regions' gateways from outside, as users do.
type Gateways struct {
	HTTP    *http.Client
	Permits Permits
	Poll    time.Duration
}

// CheckGateway returns when the region's gateway answers from outside. It only reads.
func (a *Gateways) CheckGateway(ctx context.Context, r region.Region) error {
	w := watching(ctx, a.Poll)
	defer w.close()
	err := w.until(func() (string, bool, error) {
		_, err := a.get(ctx, r.Endpoints.API+"-/readyz", "")
		return "", true, err
	})
	if err != nil {
		return fail(fmt.Errorf("gateway of %s: %w", r.Spec.Key(), err))
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

func (a *Gateways) report(ctx context.Context, in release.Placement) (releaseReport, error) {
	permit, err := a.Permits.Permit(in.Region.Key(), "releases:read")
	if err != nil {
		return releaseReport{}, err
	}
	r := in.Release
	address := fmt.Sprintf("%s-/release/%s/%s/%d", in.Endpoint.API, r.Service.Project, r.Service.Name, r.Number)
	if r.Spec.Health != "" {
		address += "?health=" + url.QueryEscape(r.Spec.Health)
	}
	body, err := a.get(ctx, address, permit)
	if err != nil {
		return releaseReport{}, err
	}
	var report releaseReport
	if err := json.Unmarshal(body, &report); err != nil {
		return releaseReport{}, fault.Wrap(fault.Unavailable, err, "the gateway of %s answered nonsense", in.Region.Key())
	}
	return report, nil
}

// maxAnswer bounds what a gateway may answer to a check.
const maxAnswer = 1 << 20

func (a *Gateways) get(ctx context.Context, address, permit string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "%q is not an address", address)
	}
	if permit != "" {
		req.Header.Set("Authorization", "Bearer "+permit)
	}
	resp, err := a.HTTP.Do(req)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "the gateway does not answer")
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "the gateway's answer broke off")
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fault.New(fault.Unavailable, "the gateway answered %s: %s", resp.Status, strings.TrimSpace(string(body[:min(len(body), 300)])))
	}
	return body, nil
}
