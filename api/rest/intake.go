package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/intake"
)

// IntegrationKeyRequest asks for an integration key.
type IntegrationKeyRequest struct {
	Name    string `json:"name" maxLength:"40" doc:"Given once in the project."`
	Service string `json:"service,omitempty" maxLength:"40" doc:"The service that its alerts are of; left out, their labels say."`
	Rate    int    `json:"rate,omitempty" minimum:"0" maximum:"100000" doc:"Alerts a second that it takes; 100 when left out."`
	Burst   int    `json:"burst,omitempty" minimum:"0" maximum:"1000000" doc:"Alerts that it takes at once; 1000, or rate if that is more, when left out."`
}

// NewIntegrationKey is an integration key with its secrets, which are shown once.
type NewIntegrationKey struct {
	Key       alert.IntegrationKey `json:"key"`
	Primary   string               `json:"primary,omitempty" doc:"The first secret of the pair; left out when the pair was rotated."`
	Secondary string               `json:"secondary" doc:"The second one. Rotating makes it the first, and makes another."`
	URL       string               `json:"url" doc:"Where alerts are sent to, with the first secret that is shown in its path. Without a public URL of the API, the path alone."`
}

// HeartbeatRequest asks for a heartbeat monitor.
type HeartbeatRequest struct {
	Name     string          `json:"name" maxLength:"40" doc:"Given once in the project."`
	Service  string          `json:"service,omitempty" maxLength:"40" doc:"The service that its alert is of."`
	Severity alert.Severity  `json:"severity,omitempty" enum:"critical,error,warning,info" doc:"error when left out."`
	Every    alert.Duration  `json:"every" doc:"How often it is pinged at least, such as 5m."`
	Grace    *alert.Duration `json:"grace,omitempty" doc:"How much later a ping may come; 1m when left out."`
}

// NewHeartbeat is a heartbeat monitor with the URL that is pinged, which is shown once.
type NewHeartbeat struct {
	Heartbeat alert.Heartbeat `json:"heartbeat"`
	URL       string          `json:"url" doc:"What is pinged: by GET or POST, without a token. Without a public URL of the API, the path alone."`
}

// InName names something of a project.
type InName struct {
	InProject
	Name string `path:"name" maxLength:"40" doc:"Its name in the project."`
}

func (a *API) registerIntake() {
	a.keys = intake.NewKeys(func(ctx context.Context, hash []byte) (alert.IntegrationKey, error) {
		return a.Integrations.IntegrationKey(ctx, hash)
	})
	accepted := shape{status: http.StatusAccepted, takes: jsonOf(&huma.Schema{Description: "An event {action, dedup_key, summary, severity, labels, details, url} or a list of them; " +
		"or what Prometheus Alertmanager's (version 4) or Grafana's webhook sends."}), about: "All of it is durable.",
		gives:   jsonOf(&huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{"accepted": {Type: huma.TypeInteger, Description: "How many alerts it had."}}, Required: []string{"accepted"}}),
		params:  []*huma.Param{inQuery("format", "m3o, alertmanager or grafana; left out, the body says.", &huma.Schema{Type: huma.TypeString})},
		refuses: []int{http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable}}
	a.plain("receive-alerts", http.MethodPost, hooksPath+"/alerts/{key}", "Take alerts from a source that has an integration key", account.Anyone, false, accepted, a.receiveAlerts)
	a.plain("send-alerts", http.MethodPost, "/v1/signals", "Take alerts from the caller", account.WriteAlerts, false, accepted, a.sendAlerts)
	pinged := shape{about: "It was heard.", gives: textOf("text/plain", "That it was."), refuses: []int{http.StatusInternalServerError, http.StatusServiceUnavailable}}
	a.plain("ping-heartbeat", http.MethodPost, hooksPath+"/heartbeats/{key}", "Hear a heartbeat", account.Anyone, false, pinged, a.pingHeartbeat)
	a.plain("ping-heartbeat-by-get", http.MethodGet, hooksPath+"/heartbeats/{key}", "Hear a heartbeat from what can only GET", account.Anyone, false, pinged, a.pingHeartbeat)
	a.registerIntegrationKeys()
	a.registerHeartbeats()
}

func (a *API) registerIntegrationKeys() {
	typed(a, "list-integration-keys", http.MethodGet, "/v1/alerting/keys", "List the project's integration keys", account.ReadAlerts, 200, func(ctx context.Context, _ *InProject) (*Body[List[alert.IntegrationKey]], error) {
		items, err := a.Integrations.IntegrationKeys(ctx, project(ctx).Name)
		return listed(ctx, items, err)
	})
	typed(a, "create-integration-key", http.MethodPost, "/v1/alerting/keys", "Make an integration key", account.WriteAlerting, 201, a.createIntegrationKey, http.StatusConflict)
	typed(a, "rotate-integration-key", http.MethodPost, "/v1/alerting/keys/{name}/rotate", "Make the second secret of a pair its first, and another its second", account.WriteAlerting, 200,
		func(ctx context.Context, in *InName) (*Body[NewIntegrationKey], error) {
			second := account.NewSecret(account.IntegrationSecret)
			k, err := a.Integrations.RotateIntegrationKey(ctx, project(ctx).Name, in.Name, account.Hash(second), caller(ctx).Subject)
			a.keys.Forget()
			return answered(ctx, NewIntegrationKey{Key: k, Secondary: second, URL: a.hook("alerts", second)}, err)
		})
	typed(a, "revoke-integration-key", http.MethodDelete, "/v1/alerting/keys/{name}", "End an integration key", account.WriteAlerting, 204, func(ctx context.Context, in *InName) (*Nothing, error) {
		err := a.Integrations.RevokeIntegrationKey(ctx, project(ctx).Name, in.Name, caller(ctx).Subject)
		a.keys.Forget()
		return done(ctx, err)
	})
}

func (a *API) createIntegrationKey(ctx context.Context, in *struct {
	InProject
	Body IntegrationKeyRequest
}) (*Body[NewIntegrationKey], error) {
	spec := alert.IntegrationKey{Project: project(ctx).Name, Name: in.Body.Name, Service: in.Body.Service, Rate: in.Body.Rate, Burst: in.Body.Burst, CreatedBy: caller(ctx).Subject}
	first, second := account.NewSecret(account.IntegrationSecret), account.NewSecret(account.IntegrationSecret)
	named(ctx, "/v1/alerting/keys/"+in.Body.Name)
	k, err := a.Integrations.CreateIntegrationKey(ctx, spec.WithDefaults(), account.Hash(first), account.Hash(second))
	return answered(ctx, NewIntegrationKey{Key: k, Primary: first, Secondary: second, URL: a.hook("alerts", first)}, err)
}

// hook is the URL of a hook with a secret in its path.
func (a *API) hook(of, secret string) string {
	return strings.TrimRight(a.PublicURL, "/") + hooksPath + "/" + of + "/" + secret
}

func (a *API) registerHeartbeats() {
	typed(a, "list-heartbeats", http.MethodGet, "/v1/heartbeats", "List the project's heartbeats", account.ReadAlerts, 200, func(ctx context.Context, _ *InProject) (*Body[List[alert.Heartbeat]], error) {
		items, err := a.Heartbeats.Heartbeats(ctx, project(ctx).Name)
		return listed(ctx, items, err)
	})
	typed(a, "create-heartbeat", http.MethodPost, "/v1/heartbeats", "Make a heartbeat", account.WriteAlerting, 201, a.createHeartbeat, http.StatusConflict)
	typed(a, "pause-heartbeat", http.MethodPost, "/v1/heartbeats/{name}/pause", "Stop a heartbeat from being missed", account.WriteAlerts, 200, func(ctx context.Context, in *InName) (*Body[alert.Heartbeat], error) {
		h, err := a.Heartbeats.PauseHeartbeat(ctx, project(ctx).Name, in.Name, caller(ctx).Subject)
		return answered(ctx, h, err)
	})
	typed(a, "resume-heartbeat", http.MethodPost, "/v1/heartbeats/{name}/resume", "Watch a heartbeat that was paused", account.WriteAlerts, 200, func(ctx context.Context, in *InName) (*Body[alert.Heartbeat], error) {
		h, err := a.Heartbeats.ResumeHeartbeat(ctx, project(ctx).Name, in.Name, caller(ctx).Subject)
		return answered(ctx, h, err)
	})
	typed(a, "remove-heartbeat", http.MethodDelete, "/v1/heartbeats/{name}", "End a heartbeat", account.WriteAlerting, 204, func(ctx context.Context, in *InName) (*Nothing, error) {
		return done(ctx, a.Heartbeats.RemoveHeartbeat(ctx, project(ctx).Name, in.Name, caller(ctx).Subject))
	})
}

func (a *API) createHeartbeat(ctx context.Context, in *struct {
	InProject
	Body HeartbeatRequest
}) (*Body[NewHeartbeat], error) {
	b := in.Body
	spec := alert.Heartbeat{Project: project(ctx).Name, Name: b.Name, Service: b.Service, Severity: b.Severity, Every: b.Every,
		Grace: alert.Duration(alert.DefaultGrace), CreatedBy: caller(ctx).Subject}
	if b.Grace != nil {
		spec.Grace = *b.Grace
	}
	secret := account.NewSecret(account.HeartbeatSecret)
	named(ctx, "/v1/heartbeats/"+b.Name)
	h, err := a.Heartbeats.CreateHeartbeat(ctx, spec.WithDefaults(), account.Hash(secret))
	return answered(ctx, NewHeartbeat{Heartbeat: h, URL: a.hook("heartbeats", secret)}, err)
}

// noSuchKey is what everybody is told whose key is not good, whatever is wrong with it.
func noSuchKey() error { return fault.New(fault.NotFound, "there is no such key") }

// receiveAlerts keeps what a source with an integration key sends. The key is counted before the body is read.
func (a *API) receiveAlerts(w http.ResponseWriter, r *http.Request) {
	secret := r.PathValue("key")
	if account.CheckSecret(secret, account.IntegrationSecret) != nil {
		a.Received.Took(nil, noSuchKey())
		writeProblem(w, r, noSuchKey())
		return
	}
	key, err := a.keys.Key(r.Context(), account.Hash(secret))
	if err == nil {
		err = a.intakeLimits.Take(key, 1)
	}
	if err != nil {
		a.Received.Took(nil, err)
		writeProblem(w, r, err)
		return
	}
	a.keepAlerts(w, r, func(signals []alert.Signal) error {
		for i := range signals {
			signals[i].Project, signals[i].Service = key.Project, key.Service
		}
		return a.intakeLimits.Take(key, len(signals)-1)
	})
}

// sendAlerts keeps what a caller sends to a project.
func (a *API) sendAlerts(w http.ResponseWriter, r *http.Request) {
	a.keepAlerts(w, r, func(signals []alert.Signal) error {
		for i := range signals {
			signals[i].Project = project(r.Context()).Name
		}
		return nil
	})
}

// keepAlerts reads the body's alerts, completes them, and answers once they are durable.
func (a *API) keepAlerts(w http.ResponseWriter, r *http.Request, complete func([]alert.Signal) error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, intake.MaxBody))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		err = &huma.ErrorModel{Status: http.StatusRequestEntityTooLarge, Title: http.StatusText(http.StatusRequestEntityTooLarge),
			Detail: fmt.Sprintf("the body is larger than %d bytes: nothing of it was kept", intake.MaxBody), Type: "urn:m3o:problem:large"}
	} else if err != nil {
		err = late(err, fault.Wrap(fault.Invalid, err, "the body cannot be read"))
	}
	var signals []alert.Signal
	if err == nil {
		signals, err = intake.Parse(intake.Format(r.URL.Query().Get("format")), body)
	}
	if err == nil && len(signals) > 0 {
		if err = complete(signals); err == nil {
			err = a.Intake.Keep(r.Context(), signals)
		}
	}
	a.Received.Took(signals, err)
	if err != nil {
		writeProblem(w, r, err)
		return
	}
	writeJSON(w, http.StatusAccepted, map[string]int{"accepted": len(signals)})
}

// pingHeartbeat hears a heartbeat.
func (a *API) pingHeartbeat(w http.ResponseWriter, r *http.Request) {
	secret := r.PathValue("key")
	if account.CheckSecret(secret, account.HeartbeatSecret) != nil {
		writeProblem(w, r, noSuchKey())
		return
	}
	h, err := a.Pings.PingHeartbeat(r.Context(), account.Hash(secret))
	if err != nil {
		writeProblem(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintf(w, "%s is %s\n", h.Name, h.Status) // a caller who went away
}
