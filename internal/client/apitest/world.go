// Package apitest runs the real HTTP API over a real database for tests of what calls it. The workflows behind it are
// played: a World records in the same order what they would record, at the pace and with the outcome that a test wants.
// Regions have gateways that check real tickets. It is for tests alone; nothing but tests imports it.
package apitest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/m3o/platform/api/rest"
	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/blob"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/store"
	"github.com/m3o/platform/internal/ticket"
)

// Token is the administrator's.
var Token = account.Secret(account.PersonToken, []byte("a token for tests of 32 bytes..."))

// World is a platform in a test. Its fields may be set before it is used.
type World struct {
	Step      time.Duration                                   // how long each stage of an operation takes
	LateCodes time.Duration                                   // how long a contact's code has arrived before it is in force
	Unserved  map[region.Provider]*region.Unserved            // the clouds that nobody works on
	Warnings  []string                                        // what the operator should know of every region of a plan
	Obstacle  func(region.Spec) *region.Obstacle              // what stands in the way of a region
	Defaults  region.Kubernetes                               // what the provider fills in where a region leaves it out
	Bootstrap func(region.Spec) error                         // why a bootstrap fails
	Build     func(log func(string), r release.Release) error // what a build prints, and why it fails
	Place     func(regionName string, r release.Release) error
	Remove    func(service string) error // why a kill fails
	Progress  release.Progress           // what every service says that it is at
	Lines     int                        // how many lines every instance has printed; 3 when it is 0

	Registered map[string][]string // services that registered themselves, by the region's name

	Store *store.Store
	URL   string

	t        *testing.T
	blobs    *blob.Folder
	signer   *ticket.Signer
	mu       sync.Mutex
	applied  map[string]error
	commands map[string]any // answers by id, as workflows remember them
	orders   []string       // what was commanded
	gateways map[string]*httptest.Server
	work     sync.WaitGroup
}

// New starts a World that ends with the test.
func New(t *testing.T) *World {
	t.Helper()
	w := &World{Step: 5 * time.Millisecond, Defaults: Spec("").Kubernetes, t: t, applied: map[string]error{}, commands: map[string]any{}, gateways: map[string]*httptest.Server{}}
	var err error
	if w.Store, err = store.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "store.db")); err != nil {
		t.Fatal(err)
	}
	w.must(w.Store.Migrate(t.Context()))
	w.must(w.Store.Bootstrap(t.Context(), account.Hash(Token), "admin.token"))
	if w.blobs, err = blob.OpenFolder(filepath.Join(t.TempDir(), "blobs"), blob.Limits{}); err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	w.must(err)
	w.signer = ticket.NewSigner(key)
	server := httptest.NewServer(w.Handler())
	w.URL = server.URL
	t.Cleanup(func() {
		w.work.Wait()
		server.CloseClientConnections()
		server.Close()
		w.must(w.Store.Close())
	})
	return w
}

// Handler is the API.
func (w *World) Handler() http.Handler {
	api := &rest.API{Regions: w.Store, Services: w.Store, Events: w.Store, Accounts: w.Store, AuditLog: w.Store, Identity: w.Store, Sessions: w.Store,
		SessionKey: []byte("the same in every process"), Claims: w.Store, AlertRules: w.Store, Alerting: w.Store, Silences: w.Store, OnCall: w.Store, Contacts: w.Store,
		NotifyRules: w.Store, ContactCommands: contacts{w}, Alerts: w.Store, AlertCommands: alerts{w}, Drills: w.Store, Integrations: w.Store, Heartbeats: w.Store, Plans: plans{w}, RegionCommands: regions{w},
		ServiceCommands: services{w}, ProjectCommands: projects{w}, Attendance: attendance{w}, Tickets: w.signer, Blobs: w.blobs, Metrics: http.NotFoundHandler(), Version: "test",
		Ready: func(*http.Request) error { return nil }, CheckImage: func(string, string) error { return nil }}
	return api.Handler()
}

// Orders lists what was commanded, in order.
func (w *World) Orders() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.orders...)
}

func (w *World) must(err error) {
	if err != nil {
		w.t.Error(err)
	}
}

// background goes on with work that outlives the request, as workflows do.
func (w *World) background(do func(ctx context.Context)) {
	w.work.Go(func() { do(context.Background()) })
}

func (w *World) pause() { time.Sleep(w.Step) }

// remembered answers a command once per id.
func remembered[A any](w *World, id, order string, do func() (A, error)) (A, error) {
	w.mu.Lock()
	known, found := w.commands[id]
	w.mu.Unlock()
	if found {
		return known.(A), nil
	}
	answer, err := do()
	if err != nil {
		return answer, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commands[id] = answer
	w.orders = append(w.orders, order)
	return answer, nil
}

// AddRegion puts a region into the world as it is.
func (w *World) AddRegion(r region.Region) {
	w.t.Helper()
	if r.Status.Takes() && r.Endpoints.API == "" {
		r.Endpoints.API = w.gateway(r.Spec.Key().String())
	}
	w.recordRegion(&r)
	w.apply(r.Spec)
}

// apply has the default project belong to the platform of a region, as applying the first plan does.
func (w *World) apply(spec region.Spec) {
	w.t.Helper()
	plan := region.Plan{ID: "of " + spec.Key().String()}
	w.must(w.Store.SavePlan(w.t.Context(), plan, []region.Spec{spec}))
	w.must(w.Store.MovePlan(w.t.Context(), plan.ID, region.PlanOpen, region.PlanApplied))
}

func (w *World) recordRegion(r *region.Region) {
	before, err := w.Store.Region(context.Background(), r.Spec.Key())
	if err == nil && before.Version >= r.Version {
		r.Version = before.Version
	}
	r.Version++
	w.must(w.Store.RecordRegion(context.Background(), *r))
}

// Spec is a region that a test asks for.
func Spec(name string) region.Spec {
	return region.Spec{Platform: "micro", Domain: "micro.mu", Name: name, Provider: region.DigitalOcean, Location: name,
		Kubernetes: region.Kubernetes{Version: "1.34", Nodes: region.Nodes{Count: 1, Size: "s-2vcpu-4gb"}},
		Resource:   []region.Part{region.Etcd, region.NATS}, Network: []region.Part{region.API}}
}

// File is a platform file that asks for regions of these names.
func File(names ...string) string {
	text := "platforms:\n- name: micro\n  domain: micro.mu\n  regions:\n"
	for _, n := range names {
		text += fmt.Sprintf("  - {name: %s, provider: do, region: %s, kubernetes: {version: \"1.34\", nodes: {count: 1, size: s-2vcpu-4gb}}, resource: [etcd, nats], network: [api]}\n", n, n)
	}
	return text
}

// AddBuilder has a builder say what it is, as one does when it starts.
func (w *World) AddBuilder(b release.Builder) {
	content, err := json.Marshal(b)
	w.must(err)
	_, err = w.blobs.Put(context.Background(), b.BlobName(), bytes.NewReader(content))
	w.must(err)
}

type alerts struct{ *World }

// CommandAlert does at once what the workflow of an alert does.
func (a alerts) CommandAlert(ctx context.Context, id, project, _, update string, in alert.Command) (alert.Alert, error) {
	order := fmt.Sprintf("%s alert %d for %s to %d: %s", update, in.Number, in.For, in.To, in.Comment)
	return remembered(a.World, id, order, func() (alert.Alert, error) {
		found, err := a.Store.Alert(ctx, project, in.Number)
		if err != nil {
			return found, err
		}
		if found.Status.Final() {
			return found, fault.New(fault.Conflict, "%s", found.Ended())
		}
		switch found.Version++; update {
		case alert.AcknowledgeUpdate:
			found.Status, found.AcknowledgedBy = alert.Acknowledged, in.By
		case alert.ResolveUpdate:
			found.Status, found.EndedAt = alert.Closed, time.Now().UTC()
		case alert.SnoozeUpdate:
			found.Status, found.Until = alert.Snoozed, time.Now().UTC().Add(in.For)
		}
		return found, a.Store.RecordAlert(ctx, found, nil)
	})
}
