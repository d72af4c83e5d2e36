package client

import (
	"context"
	"net/http"
	"strings"

	"github.com/m3o/platform/internal/alert"
)

// Event is one alert that is sent, in our own format.
type Event struct {
	Action   alert.Action      `json:"action"`
	DedupKey string            `json:"dedup_key"`
	Summary  string            `json:"summary,omitempty"`
	Severity alert.Severity    `json:"severity,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Details  string            `json:"details,omitempty"`
	URL      string            `json:"url,omitempty"`
}

// Accepted is how many alerts are durable.
type Accepted struct {
	Accepted int `json:"accepted"`
}

// NewIntegrationKey is an integration key with its secrets, which are shown once. URL is where a source sends its alerts.
type NewIntegrationKey struct {
	Key       alert.IntegrationKey `json:"key"`
	Primary   string               `json:"primary,omitempty"` // empty for one that was rotated
	Secondary string               `json:"secondary"`
	URL       string               `json:"url"`
}

// NewHeartbeat is a heartbeat monitor with the URL that is pinged, which is shown once.
type NewHeartbeat struct {
	Heartbeat alert.Heartbeat `json:"heartbeat"`
	URL       string          `json:"url"`
}

// SendAlert sends an alert to the project.
func (c *Client) SendAlert(ctx context.Context, e Event) (Accepted, error) {
	var a Accepted
	return a, c.change(ctx, http.MethodPost, "/v1/signals", c.inProject(), e, &a)
}

// IntegrationKeys lists the project's integration keys.
func (c *Client) IntegrationKeys(ctx context.Context) ([]alert.IntegrationKey, error) {
	return wholeIn[alert.IntegrationKey](ctx, c, "/v1/alerting/keys", nil)
}

// CreateIntegrationKey makes an integration key. What is left out of the spec is the API's default.
func (c *Client) CreateIntegrationKey(ctx context.Context, spec alert.IntegrationKey) (NewIntegrationKey, error) {
	body := struct {
		Name    string `json:"name"`
		Service string `json:"service,omitempty"`
		Rate    int    `json:"rate,omitempty"`
		Burst   int    `json:"burst,omitempty"`
	}{spec.Name, spec.Service, spec.Rate, spec.Burst}
	var k NewIntegrationKey
	err := c.change(ctx, http.MethodPost, "/v1/alerting/keys", c.inProject(), body, &k)
	k.URL = c.absolute(k.URL)
	return k, err
}

// RotateIntegrationKey ends the first secret of a pair and makes another second one.
func (c *Client) RotateIntegrationKey(ctx context.Context, name string) (NewIntegrationKey, error) {
	var k NewIntegrationKey
	err := c.change(ctx, http.MethodPost, under("/v1/alerting/keys", name)+"/rotate", c.inProject(), nil, &k)
	k.URL = c.absolute(k.URL)
	return k, err
}

// RevokeIntegrationKey ends an integration key.
func (c *Client) RevokeIntegrationKey(ctx context.Context, name string) error {
	return c.commandIn(ctx, http.MethodDelete, under("/v1/alerting/keys", name), c.inProject(), nil)
}

// Heartbeats lists the project's heartbeats.
func (c *Client) Heartbeats(ctx context.Context) ([]alert.Heartbeat, error) {
	return wholeIn[alert.Heartbeat](ctx, c, "/v1/heartbeats", nil)
}

// CreateHeartbeat makes a heartbeat monitor.
func (c *Client) CreateHeartbeat(ctx context.Context, spec alert.Heartbeat) (NewHeartbeat, error) {
	body := struct {
		Name     string         `json:"name"`
		Service  string         `json:"service,omitempty"`
		Severity alert.Severity `json:"severity,omitempty"`
		Every    alert.Duration `json:"every"`
		Grace    alert.Duration `json:"grace"`
	}{spec.Name, spec.Service, spec.Severity, spec.Every, spec.Grace}
	var h NewHeartbeat
	err := c.change(ctx, http.MethodPost, "/v1/heartbeats", c.inProject(), body, &h)
	h.URL = c.absolute(h.URL)
	return h, err
}

// PauseHeartbeat stops a heartbeat from being missed; ResumeHeartbeat has it watched again.
func (c *Client) PauseHeartbeat(ctx context.Context, name string) (alert.Heartbeat, error) {
	return c.heartbeat(ctx, name, "pause")
}

// ResumeHeartbeat has a heartbeat that was paused watched again.
func (c *Client) ResumeHeartbeat(ctx context.Context, name string) (alert.Heartbeat, error) {
	return c.heartbeat(ctx, name, "resume")
}

func (c *Client) heartbeat(ctx context.Context, name, verb string) (alert.Heartbeat, error) {
	var h alert.Heartbeat
	return h, c.change(ctx, http.MethodPost, under("/v1/heartbeats", name)+"/"+verb, c.inProject(), nil, &h)
}

// RemoveHeartbeat ends a heartbeat.
func (c *Client) RemoveHeartbeat(ctx context.Context, name string) error {
	return c.commandIn(ctx, http.MethodDelete, under("/v1/heartbeats", name), c.inProject(), nil)
}

// absolute is a URL of the API, which knows no more than the path where nobody told it how it is reached.
func (c *Client) absolute(at string) string {
	if strings.HasPrefix(at, "/") {
		return strings.TrimRight(c.Base, "/") + at
	}
	return at
}
