package client

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/oncall"
)

// OnCallLine is who is on call by a schedule now and next. Why says why a page would reach nobody now.
type OnCallLine struct {
	Schedule string        `json:"schedule"`
	Zone     string        `json:"zone"`
	Now      oncall.Shift  `json:"now"`
	Why      string        `json:"why,omitempty"`
	Next     *oncall.Shift `json:"next,omitempty"`
}

// ScheduleView is a schedule with the overrides and the shifts of a time.
type ScheduleView struct {
	oncall.Schedule
	Overrides []oncall.Override `json:"overrides"`
	Shifts    []oncall.Shift    `json:"shifts"`
}

// OverrideRequest asks for an override. Without a beginning it begins now.
type OverrideRequest struct {
	Schedule string    `json:"schedule"`
	Person   string    `json:"person"`
	Begins   time.Time `json:"begins,omitzero"`
	Ends     time.Time `json:"ends"`
}

// ContactView is a contact that was added, and whether a code is being sent there.
type ContactView struct {
	alert.Contact
	CodeSent bool `json:"code_sent"`
}

// Reach is how a person whom a project pages is reached, with masked addresses.
type Reach struct {
	Person   string `json:"person"`
	Why      string `json:"why,omitempty"`
	Contacts []struct {
		Channel alert.Channel       `json:"channel"`
		Address string              `json:"address"`
		Status  alert.ContactStatus `json:"status"`
	} `json:"contacts"`
}

// NotifyChoice is how the caller wants to be paged: without lines as the project's rules say.
type NotifyChoice struct {
	High []alert.Notify `json:"high"`
}

// OnCall lists who is on call in the project.
func (c *Client) OnCall(ctx context.Context) ([]OnCallLine, error) {
	return wholeIn[OnCallLine](ctx, c, "/v1/oncall", nil)
}

// Gaps lists the times in so many days ahead in which a page of the project would reach nobody; 0 days are the API's default.
func (c *Client) Gaps(ctx context.Context, days int) ([]oncall.Gap, error) {
	query := map[string]string{}
	if days > 0 {
		query["days"] = fmt.Sprint(days)
	}
	return wholeIn[oncall.Gap](ctx, c, "/v1/oncall/gaps", query)
}

// Schedule shows a schedule of the project. Times that are zero are the API's default.
func (c *Client) Schedule(ctx context.Context, name string, from, to time.Time) (ScheduleView, error) {
	query := c.inProject()
	if !from.IsZero() {
		query.Set("from", from.Format(time.RFC3339))
	}
	if !to.IsZero() {
		query.Set("to", to.Format(time.RFC3339))
	}
	var v ScheduleView
	return v, c.look(ctx, under("/v1/schedules", name), query, &v)
}

// Overrides lists the project's overrides that are not over.
func (c *Client) Overrides(ctx context.Context) ([]oncall.Override, error) {
	return wholeIn[oncall.Override](ctx, c, "/v1/overrides", nil)
}

// CreateOverride puts a person on call in the place of whoever a schedule has.
func (c *Client) CreateOverride(ctx context.Context, in OverrideRequest) (oncall.Override, error) {
	var o oncall.Override
	return o, c.change(ctx, http.MethodPost, "/v1/overrides", c.inProject(), in, &o)
}

// EndOverride ends an override now.
func (c *Client) EndOverride(ctx context.Context, id string) (oncall.Override, error) {
	var o oncall.Override
	return o, c.change(ctx, http.MethodDelete, under("/v1/overrides", id), c.inProject(), nil, &o)
}

// Contacts lists the caller's contacts.
func (c *Client) Contacts(ctx context.Context) ([]alert.Contact, error) {
	return whole[alert.Contact](ctx, c, "/v1/contacts")
}

// ProjectContacts lists how the people are reached whom a project pages.
func (c *Client) ProjectContacts(ctx context.Context, project string) ([]Reach, error) {
	return whole[Reach](ctx, c, under("/v1/projects", project)+"/contacts")
}

// AddContact adds a contact of the caller, and has a code sent there.
func (c *Client) AddContact(ctx context.Context, channel alert.Channel, address string) (ContactView, error) {
	var v ContactView
	body := map[string]string{"channel": string(channel), "address": address}
	return v, c.change(ctx, http.MethodPost, "/v1/contacts", nil, body, &v)
}

// RemoveContact removes a contact of the caller.
func (c *Client) RemoveContact(ctx context.Context, id string) error {
	return c.command(ctx, http.MethodDelete, under("/v1/contacts", id), nil)
}

// SendCode has another code sent to a contact of the caller.
func (c *Client) SendCode(ctx context.Context, id string) error {
	return c.command(ctx, http.MethodPost, under("/v1/contacts", id)+"/code", nil)
}

// VerifyContact says the code that was sent to a contact of the caller.
func (c *Client) VerifyContact(ctx context.Context, id, code string) (alert.Contact, error) {
	var v alert.Contact
	return v, c.change(ctx, http.MethodPost, under("/v1/contacts", id)+"/verify", nil, map[string]string{"code": code}, &v)
}

// NotifyRules shows how the caller wants to be paged.
func (c *Client) NotifyRules(ctx context.Context) (NotifyChoice, error) {
	var n NotifyChoice
	return n, c.look(ctx, "/v1/contacts/rules", nil, &n)
}

// SetNotifyRules says how the caller wants to be paged.
func (c *Client) SetNotifyRules(ctx context.Context, in NotifyChoice) (NotifyChoice, error) {
	if in.High == nil {
		in.High = []alert.Notify{}
	}
	var n NotifyChoice
	return n, c.change(ctx, http.MethodPut, "/v1/contacts/rules", nil, in, &n)
}

// wholeIn reads a list of the project that comes in one piece.
func wholeIn[T any](ctx context.Context, c *Client, path string, query map[string]string) ([]T, error) {
	values := c.inProject()
	for name, value := range query {
		values.Set(name, value)
	}
	var list struct {
		Items []T `json:"items"`
	}
	err := c.look(ctx, path, values, &list)
	if list.Items == nil {
		list.Items = []T{}
	}
	return list.Items, err
}
