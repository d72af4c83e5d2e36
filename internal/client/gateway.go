package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// Permit is a ticket for one service, and the gateways that take it.
type Permit struct {
	Ticket  string `json:"ticket"`
	Regions []Site `json:"regions"`
}

// Site is one region's gateway. Gateway and Service end in a slash.
type Site struct {
	Region  string `json:"region"` // platform/name
	Gateway string `json:"gateway"`
	Service string `json:"service"`
}

// In returns the site in the region, which is named in full or, where that says which one, by its name alone.
func In(sites []Site, service, name string) ([]Site, error) {
	var found []Site
	names := make([]string, len(sites))
	for i, s := range sites {
		if names[i] = s.Region; s.Region == name || region.ShortName(s.Region) == name {
			found = append(found, s)
		}
	}
	switch {
	case len(found) == 1:
		return found, nil
	case len(found) > 1:
		return nil, fault.New(fault.Conflict, "%q names several regions of %s; write one of %s", name, service, strings.Join(names, ", "))
	case len(sites) == 0:
		names = []string{"no region"}
	}
	return nil, fault.New(fault.NotFound, "service %s does not run in region %q; it runs in %s", service, name, strings.Join(names, ", "))
}

// CallTicket permits calls to a service for a minute, also to one that nobody brought out: it may have registered itself.
func (c *Client) CallTicket(ctx context.Context, name string) (Permit, error) {
	var p Permit
	return p, c.change(ctx, http.MethodPost, servicePath(name)+"/call-tickets", c.inProject(), nil, &p)
}

// LogTicket permits reading a service's logs for a minute.
func (c *Client) LogTicket(ctx context.Context, name string) (Permit, error) {
	var p Permit
	return p, c.change(ctx, http.MethodPost, servicePath(name)+"/log-tickets", c.inProject(), nil, &p)
}

// Call is one request to a service.
type Call struct {
	Method string
	Path   string // "/greet?x=1"
	Header http.Header
	Body   []byte
}

// Call sends the request to the service at a site. A failure of the service is an answer, not an error. The caller closes
// the body. Only a call that reached nobody is Unavailable. How long it may take is for the service to say: its gateway ends an
// exchange that stands still.
func (c *Client) Call(ctx context.Context, site Site, ticket string, in Call) (*http.Response, error) {
	if !strings.HasPrefix(in.Path, "/") {
		in.Path = "/" + in.Path
	}
	req, err := http.NewRequestWithContext(ctx, in.Method, strings.TrimSuffix(site.Service, "/")+in.Path, strings.NewReader(string(in.Body)))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "%s %s is not a request", in.Method, in.Path)
	}
	for name, values := range in.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if req.Header.Get("Authorization") == "" {
		req.Header.Set("Authorization", "Bearer "+ticket)
	}
	resp, err := c.http().Do(req)
	if err != nil {
		return nil, unreachable(site, err)
	}
	return resp, nil
}

// Unknown reports whether the answer to a call is a gateway's, which knows no such service, and which services it knows that the
// caller may call. The answer can be read as before.
func Unknown(resp *http.Response) (there []string, unknown bool) {
	if resp.StatusCode != http.StatusNotFound || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") {
		return nil, false
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	resp.Body = &peeked{io.MultiReader(bytes.NewReader(data), resp.Body), resp.Body}
	var d document
	if err != nil || json.Unmarshal(data, &d) != nil || d.Services == nil {
		return nil, false
	}
	return d.Services, true
}

// peeked is a body of which something was read ahead.
type peeked struct {
	io.Reader
	io.Closer
}

func unreachable(site Site, err error) error {
	return fault.Wrap(fault.Unavailable, err, "the gateway of %s at %s does not answer", site.Region, site.Gateway)
}

// openLogs asks a site for lines. The caller closes the answer.
func (c *Client) openLogs(ctx context.Context, site Site, ticket, project, service string, query url.Values) (io.ReadCloser, error) {
	target := fmt.Sprintf("%s/-/logs/%s/%s?%s", strings.TrimSuffix(site.Gateway, "/"), url.PathEscape(project), url.PathEscape(service), query.Encode())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "%q is not the address of a gateway", site.Gateway)
	}
	req.Header.Set("Authorization", "Bearer "+ticket)
	resp, err := c.http().Do(req)
	if err != nil {
		return nil, unreachable(site, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		problem := Problem(resp)
		problem.Message = site.Region + ": " + problem.Message
		return nil, problem
	}
	return resp.Body, nil
}
