package rest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/status"
)

// How the public status is made: at most so often, within so long, of alerts that began in so long.
const (
	statusFor    = 5 * time.Second
	statusWithin = 4 * time.Second
	statusBack   = 30 * 24 * time.Hour
)

// published is the public status as it was made last. Strangers read it: however many they are, it is made once in a while.
type published struct {
	mu       sync.Mutex
	document status.Document
	tag      string
	made     time.Time
}

func (a *API) registerStatus() {
	document := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[status.Document](), true, "")
	a.plain("get-status", http.MethodGet, "/v1/status", "Say how the platform is: its components, and what went wrong lately", account.Anyone, false, shape{
		params: []*huma.Param{{Name: "If-None-Match", In: "header", Description: "ETags that the caller has.", Schema: &huma.Schema{Type: huma.TypeString}}},
		about:  "How it is, or was a few seconds ago.", gives: jsonOf(document), others: map[string]*huma.Response{"304": {Description: "The caller has it as it is."}}}, a.getStatus)
	typed(a, "get-alert-stats", http.MethodGet, "/v1/alerts/stats", "Show how much work a project's alerts were: MTTA, MTTR and noise, by service", account.ReadAlerts, 200, a.getAlertStats)
}

func (a *API) getStatus(w http.ResponseWriter, r *http.Request) {
	document, tag := a.publicStatus(r.Context())
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(statusFor.Seconds())))
	if slices.ContainsFunc(strings.Split(r.Header.Get("If-None-Match"), ","), func(has string) bool { return strings.TrimSpace(has) == tag }) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	writeJSON(w, http.StatusOK, document)
}

// publicStatus is the status as of a few seconds ago at most. Who asked first waits for it, and so do all others meanwhile.
func (a *API) publicStatus(ctx context.Context) (status.Document, string) {
	p := &a.status
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.made) < statusFor {
		return p.document, p.tag
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statusWithin) // others wait for it, too
	defer cancel()
	facts, err := a.statusFacts(ctx)
	if p.document = status.Make(facts); err != nil {
		slog.WarnContext(ctx, "the public status is made without the store", "error", err)
		p.document = status.Down(time.Now())
	}
	p.made, p.tag = time.Now(), tagOf(p.document)
	return p.document, p.tag
}

func (a *API) statusFacts(ctx context.Context) (f status.Facts, err error) {
	f.At = time.Now()
	if f.Regions, err = a.Regions.Regions(ctx, "", false); err != nil {
		return f, err
	}
	if f.Outlook, err = a.Regions.Outlook(ctx); err != nil {
		return f, err
	}
	conditions, err := a.Alerting.Conditions(ctx)
	if err != nil {
		return f, err
	}
	for _, c := range conditions {
		f.Conditions = append(f.Conditions, status.Condition{Kind: c.Kind, Since: c.Since})
	}
	if f.Alerts, err = a.toldAlerts(ctx, f.At.Add(-statusBack)); err != nil {
		return f, err
	}
	f.EngineAway = a.Ready((&http.Request{}).WithContext(ctx)) != nil
	return f, nil
}

// toldAlerts are the platform's own alerts, with what the newest ones are about where their groups do not say it.
func (a *API) toldAlerts(ctx context.Context, since time.Time) ([]alert.Alert, error) {
	alerts, _, err := a.Alerting.AlertsSince(ctx, alert.Platform, since)
	if err != nil {
		return nil, err
	}
	groups := map[string][]alert.Key{}
	for i, of := range alerts {
		if of.Labels["kind"] != "" || of.Drill {
			continue
		}
		keys, read := groups[of.Group]
		if !read {
			if len(groups) == status.MaxIncidents {
				break
			}
			if keys, err = a.Alerting.GroupKeys(ctx, alert.Platform, of.Group); err != nil {
				return nil, err
			}
			groups[of.Group] = keys
		}
		alerts[i] = status.Told(of, keys)
	}
	return alerts, nil
}

// tagOf tells documents apart by what they say, not by when they were made.
func tagOf(d status.Document) string {
	d.At = time.Time{}
	text, err := json.Marshal(d)
	if err != nil {
		panic("rest: a status cannot be marshalled: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return `"` + hex.EncodeToString(sum[:12]) + `"`
}

// ProjectStats are the stats of a project's alerts that began since.
type ProjectStats struct {
	Project string    `json:"project"`
	Since   time.Time `json:"since"`
	Zone    string    `json:"zone" doc:"Where the working hours are."`
	alert.Summary
	Partial bool `json:"partial,omitempty" doc:"There were more alerts than are reckoned with: the newest are."`
}

// How far back stats go, and by default.
const (
	statsBack   = 30 * 24 * time.Hour
	maxStatBack = 366 * 24 * time.Hour
)

func (a *API) getAlertStats(ctx context.Context, in *struct {
	Since time.Time `query:"since" doc:"Of alerts that began since; 30 days back when left out, a year at most."`
	Zone  string    `query:"zone" maxLength:"64" doc:"Where the working hours are, such as Europe/London; UTC when left out."`
}) (*Body[ProjectStats], error) {
	since, now := in.Since, time.Now()
	if since.IsZero() {
		since = now.Add(-statsBack)
	}
	var c fault.Checker
	c.Check(!since.After(now) && now.Sub(since) <= maxStatBack, "since", "%s is not within the last 366 days", since.UTC().Format(time.RFC3339))
	zone, err := time.LoadLocation(in.Zone)
	c.Check(err == nil && in.Zone != "Local", "zone", "%.80q is no time zone such as Europe/London", in.Zone)
	if err := c.Err(); err != nil {
		return nil, problem(ctx, err)
	}
	of := project(ctx).Name
	alerts, more, err := a.Alerting.AlertsSince(ctx, of, since)
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &Body[ProjectStats]{ProjectStats{Project: of, Since: since.UTC(), Zone: zone.String(), Summary: alert.Summarize(alerts, zone), Partial: more}}, nil
}
