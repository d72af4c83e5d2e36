package rest_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/m3o/platform/api/rest"
	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/blob"
	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/image"
	"github.com/m3o/platform/internal/intake"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/store"
	"github.com/m3o/platform/internal/ticket"
)

const (
	ui       = "http://127.0.0.1:8233"
	registry = "127.0.0.1:5001"
)

// secretOf is the token of somebody in these tests.
func secretOf(who string) string {
	kind := account.PersonToken
	if who == "shop" {
		kind = account.ServiceToken
	}
	sum := sha256.Sum256([]byte(who))
	return account.Secret(kind, sum[:])
}

// callers makes who calls in these tests: an operator, the same with a narrow token and with one that expired, somebody
// without a role, and a service account that owns the project shop.
func (s *site) callers(path string) {
	ctx := s.t.Context()
	must(s.t, s.store.Bootstrap(ctx, account.Hash(secretOf("admin")), "admin.token"))
	admin, err := s.store.UserNamed(ctx, "admin")
	must(s.t, err)
	s.token("reader", account.TokenSpec{Owner: admin.ID, Scopes: []string{"services:read", "regions:read", "events:read"}})
	s.token("past", account.TokenSpec{Owner: admin.ID})
	db, err := sql.Open("sqlite", path)
	must(s.t, err)
	_, err = db.ExecContext(ctx, "UPDATE tokens SET expires_at = '2020-01-01 00:00:00+00:00' WHERE name = 'past'")
	must(s.t, err)
	s.user("nobody")
	s.user("inspector", "/on-call")
	shop, err := s.store.CreateServiceAccount(ctx, account.ServiceAccount{Project: "shop", Name: "shop", Role: account.Owner, CreatedBy: "admin"})
	must(s.t, err)
	s.token("shop", account.TokenSpec{Owner: shop.ID, Kind: account.Service})
	_, err = db.ExecContext(ctx, "DELETE FROM events; UPDATE counters SET value = 0") // what follows is counted by tests
	must(s.t, errors.Join(err, db.Close()))
}

// apply has the default project belong to the platform of a region, as applying the first plan does.
func (s *site) apply(r region.Region) {
	s.t.Helper()
	plan := region.Plan{ID: "of " + r.Spec.Key().String()}
	must(s.t, s.store.SavePlan(s.t.Context(), plan, []region.Spec{r.Spec}))
	must(s.t, s.store.MovePlan(s.t.Context(), plan.ID, region.PlanOpen, region.PlanApplied))
}

// token gives an owner the token that as() presents.
func (s *site) token(who string, spec account.TokenSpec) {
	s.t.Helper()
	spec.Name, spec.By, spec.Kind = who, "admin", cmp.Or(spec.Kind, account.Person)
	_, err := s.store.CreateToken(s.t.Context(), spec.WithDefaults(), account.Hash(secretOf(who)))
	must(s.t, err)
}

// user makes an active user of that name, with roles written as project/role, or /role on the platform.
func (s *site) user(name string, roles ...string) account.User {
	s.t.Helper()
	code := account.Hash("code of " + name)
	_, _, err := s.store.InviteUser(s.t.Context(), name, "", code, "admin")
	must(s.t, err)
	_, user, err := s.store.Redeem(s.t.Context(), code, name, account.Hash(secretOf(name)))
	must(s.t, err)
	for _, r := range roles {
		project, role, _ := strings.Cut(r, "/")
		must(s.t, s.store.Grant(s.t.Context(), project, name, account.Role(role), "admin"))
	}
	return user
}

// site is the API over a real database, with commands that are only noted down.
type site struct {
	t        *testing.T
	store    *store.Store
	blobs    *blob.Folder
	codec    *control.Codec
	api      *rest.API
	server   *httptest.Server
	commands *commands
}

// newSite starts the API; change may alter what it is made of.
func newSite(t *testing.T, change ...func(*rest.API)) *site {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	db, err := store.Open(t.Context(), "sqlite://"+path)
	must(t, err)
	must(t, db.Migrate(t.Context()))
	for _, project := range []string{"default", "shop"} {
		must(t, db.EnsureProject(t.Context(), project))
	}
	blobs, err := blob.OpenFolder(filepath.Join(t.TempDir(), "blobs"), blob.Limits{})
	must(t, err)
	keys, err := control.LoadOrCreateKeys(filepath.Join(t.TempDir(), "keys.json"))
	must(t, err)
	codec, err := control.NewCodec(keys)
	must(t, err)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	s := &site{t: t, store: db, blobs: blobs, codec: codec, commands: &commands{store: db, failing: map[string]error{}}}
	s.callers(path)
	s.api = &rest.API{Regions: db, Services: db, Events: db, Accounts: db, AuditLog: db, Identity: db, Sessions: db, SessionKey: []byte("the key of all processes"), Claims: db,
		AlertRules: db, Silences: db, OnCall: db, Contacts: db, NotifyRules: db, ContactCommands: s.commands,
		Alerts: db, AlertCommands: s.commands, Drills: db,
		Alerting: db, Intake: intake.NewCommitter(db), Integrations: db, Heartbeats: db, Pings: db,
		Callbacks: db, LinkAlerts: db, LinkCommands: linkCommands{db}, LinkKeys: linkKeys(), SlackSecret: slackSecret,
		Plans: s.commands, RegionCommands: s.commands, ServiceCommands: s.commands, ProjectCommands: s.commands, Tickets: ticket.NewSigner(key), Blobs: blobs, Codec: codec, Metrics: http.HandlerFunc(someMetrics), Ready: func(*http.Request) error { return nil },
		Version: "test", TemporalUI: ui,
		CheckImage: func(project, reference string) error { return image.CheckOwner(registry, project, reference) }}
	for _, c := range change {
		c(s.api)
	}
	s.apply(lon1())
	s.server = httptest.NewServer(s.described(s.api.Handler()))
	t.Cleanup(func() { s.server.CloseClientConnections(); s.server.Close(); must(t, db.Close()) })
	return s
}

func someMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	_, _ = io.WriteString(w, "up 1\n")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   string
}

type header struct{ name, value string }

func as(who string) header { return header{"Authorization", "Bearer " + secretOf(who)} }
func once(key string) header {
	return header{"Idempotency-Key", key}
}

// do sends a request; a body that is no string or reader is sent as JSON.
func (s *site) do(method, path string, body any, headers ...header) reply {
	s.t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	case io.Reader:
		r = b
	default:
		data, err := json.Marshal(b)
		must(s.t, err)
		r = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.server.URL+path, r)
	must(s.t, err)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		req.Header.Set(h.name, h.value)
	}
	resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	must(s.t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	must(s.t, err)
	return reply{resp.StatusCode, resp.Header, string(data)}
}

// refused fails the test unless the reply is a problem document with that status and those words.
func (r reply) refused(t *testing.T, status int, words ...string) {
	t.Helper()
	var p struct {
		Status int
		Title  string
		Detail string
	}
	if err := json.Unmarshal([]byte(r.body), &p); err != nil || p.Status != status || p.Title == "" {
		t.Errorf("want a problem document of status %d, got %s", status, r.body)
	}
	if r.status != status || !strings.HasPrefix(r.header.Get("Content-Type"), "application/problem+json") {
		t.Errorf("answered %d with %s: %s", r.status, r.header.Get("Content-Type"), r.body)
	}
	for _, w := range words {
		if !strings.Contains(r.body, w) {
			t.Errorf("the answer does not say %q: %s", w, r.body)
		}
	}
}

// ok fails the test unless the reply has that status, and reads its body.
func (r reply) ok(t *testing.T, status int, into any) {
	t.Helper()
	if r.status != status {
		t.Fatalf("answered %d: %s", r.status, r.body)
	}
	if into != nil {
		if err := json.Unmarshal([]byte(r.body), into); err != nil {
			t.Fatalf("%v: %s", err, r.body)
		}
	}
}

func lon1() region.Region {
	return region.Region{Spec: region.Spec{Platform: "micro", Domain: "micro.mu", Name: "lon1", Provider: region.DigitalOcean, Location: "lon1",
		Kubernetes: region.Kubernetes{Version: "1.34", Nodes: region.Nodes{Count: 1, Size: "s"}}}, Status: region.Ready, Version: 1,
		Endpoints: region.Endpoints{API: "http://lon1/"}}
}

const sourceDigest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// service records a service with one release.
func (s *site) service(project, name string) release.Key {
	s.t.Helper()
	key := release.Key{Project: project, Name: name}
	spec := release.Spec{Access: release.Public, Port: 8080, Replicas: 1}
	r, err := s.store.AllocateRelease(s.t.Context(), release.Allocation{Request: release.Request{Service: key, Origin: release.Origin{Image: "x"}, Spec: spec}, RequestKey: "first"})
	must(s.t, err)
	must(s.t, s.store.RecordService(s.t.Context(), release.Service{Key: key, Status: release.Running, Current: r.Number, Latest: r.Number, Version: 1,
		Regions: []release.Placed{{Region: "micro/lon1", Status: release.Ready, URL: "http://lon1/" + name + "/"}}}))
	return key
}

func (s *site) audits() []event.Audit {
	s.t.Helper()
	list, _, err := s.store.Audits(s.t.Context(), store.Page{})
	must(s.t, err)
	return list
}

// commands notes what was commanded. It is given ids by which the real workflows would know a repetition.
type commands struct {
	mu      sync.Mutex
	store   *store.Store
	done    []string // "DeployService default/hello"
	ids     []string
	failing map[string]error
	gate    chan struct{}
	access  region.Access   // of the last kubeconfig that was asked for
	request release.Request // of the last deploy

	forgotten bool // what ran is past its retention
}

func (c *commands) note(what, subject, id string) error {
	c.mu.Lock()
	gate := c.gate
	err := c.failing[what]
	if err == nil {
		c.done, c.ids = append(c.done, what+" "+subject), append(c.ids, id)
	}
	c.mu.Unlock()
	if gate != nil {
		<-gate
	}
	return err
}

func (c *commands) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.done)
}

func (c *commands) PlanPlatform(ctx context.Context, in region.PlanInput) error {
	if err := c.note("PlanPlatform", in.ID, in.ID); err != nil {
		return err
	}
	return c.store.SavePlan(ctx, region.Plan{ID: in.ID, Status: region.PlanOpen, CreatedBy: in.CreatedBy, Steps: region.Compare(in.Wanted, nil, in.Destroy)}, in.Wanted)
}

func (c *commands) ApplyPlan(_ context.Context, in region.ApplyPlanInput) error {
	return c.note("ApplyPlan", in.Plan, in.Plan)
}

func (c *commands) AwaitPlan(context.Context, string) error {
	if c.forgotten {
		return fault.New(fault.NotFound, "there is no such workflow")
	}
	return nil
}

func (c *commands) RemoveRegion(_ context.Context, id string, key region.Key, _ region.RemoveInput) (region.Accepted, error) {
	return region.Accepted{}, c.note("RemoveRegion", key.String(), id)
}

func (c *commands) RetryRegion(_ context.Context, id string, key region.Key, _ region.RetryInput) (region.Accepted, error) {
	return region.Accepted{}, c.note("RetryRegion", key.String(), id)
}

func (c *commands) Kubeconfig(_ context.Context, id string, key region.Key, in region.KubeconfigInput) (region.SealedKubeconfig, error) {
	c.access = in.Access
	return region.SealedKubeconfig{Sealed: in.PublicKey}, c.note("Kubeconfig", key.String(), id)
}

func (c *commands) RegionProgress(_ context.Context, key region.Key) (region.Progress, error) {
	return region.Progress{Stage: "network"}, nil
}

func (c *commands) DeployService(_ context.Context, id string, in release.Request) (release.Accepted, error) {
	err := c.note("DeployService", in.Service.String(), id)
	c.mu.Lock()
	c.request = in
	c.mu.Unlock()
	return release.Accepted{Service: in.Service, Release: c.count()}, err
}

func (c *commands) RollbackService(_ context.Context, id string, key release.Key, _ release.RollbackInput) (release.Accepted, error) {
	return release.Accepted{Service: key, Release: 9}, c.note("RollbackService", key.String(), id)
}

func (c *commands) KillService(_ context.Context, id string, key release.Key, _ release.KillInput) (release.Accepted, error) {
	return release.Accepted{Service: key}, c.note("KillService", key.String(), id)
}

func (c *commands) SuspendProject(ctx context.Context, id string, in account.SuspendInput) (account.Project, error) {
	if err := c.note("SuspendProject", in.Project, id); err != nil {
		return account.Project{}, err
	}
	return c.store.RecordSuspension(ctx, in)
}

func (c *commands) RemoveProject(ctx context.Context, id string, in account.RemoveInput) (account.Project, error) {
	if err := c.note("RemoveProject", in.Project, id); err != nil {
		return account.Project{}, err
	}
	return c.store.BeginRemoval(ctx, in)
}

func (c *commands) VerifyContact(_ context.Context, in alert.VerifyInput) error {
	return c.note("VerifyContact", in.Contact, alert.VerifyID(in.Contact, in.N))
}

func (c *commands) Removal(context.Context, string) (account.Removal, error) {
	return account.Removal{Stage: "services", Waiting: "the last instance of cart"}, nil
}

func (c *commands) ServiceProgress(_ context.Context, key release.Key) (release.Progress, error) {
	return release.Progress{}, fault.New(fault.NotFound, "nothing of that name is running")
}

func (c *commands) CommandAlert(_ context.Context, id, project, group, update string, in alert.Command) (alert.Alert, error) {
	a, err := c.store.Alert(context.Background(), project, in.Number)
	if err != nil {
		return a, err
	}
	return a, c.note(update, fmt.Sprintf("alert %d of %s by %s for %s to %d: %s", in.Number, group, in.By, in.For, in.To, in.Comment), id)
}
