package client

import (
	"context"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/status"
)

// AlertStats are how much work a project's alerts were that began since. Partial: there were more than are reckoned with.
type AlertStats struct {
	Project string    `json:"project"`
	Since   time.Time `json:"since"`
	Zone    string    `json:"zone"`
	alert.Summary
	Partial bool `json:"partial,omitempty"`
}

// Status is how the platform is, as everybody may know.
func (c *Client) Status(ctx context.Context) (status.Document, error) {
	var d status.Document
	return d, c.look(ctx, "/v1/status", nil, &d)
}

// AlertStats reckons the stats of the project's alerts. zone is where the working hours are; empty is UTC.
func (c *Client) AlertStats(ctx context.Context, since time.Time, zone string) (AlertStats, error) {
	var s AlertStats
	query := c.inProject()
	query.Set("since", since.UTC().Format(time.RFC3339))
	if zone != "" {
		query.Set("zone", zone)
	}
	return s, c.look(ctx, "/v1/alerts/stats", query, &s)
}
