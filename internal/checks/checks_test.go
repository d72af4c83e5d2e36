package checks

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/store"
)

// platform is a store and who checks the platform by it.
type platform struct {
	t       *testing.T
	store   *store.Store
	lease   store.Lease
	checker *Checker
}

func newPlatform(t *testing.T, checks func(*store.Store) []Check) *platform {
	t.Helper()
	s, err := store.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "store.db"))
	p := &platform{t: t, store: s}
	p.must(err)
	t.Cleanup(func() { _ = s.Close() })
	p.must(s.Migrate(t.Context()))
	p.lease, err = s.TakeLease(t.Context(), store.Lease{Name: store.ChecksLease}, "me")
	p.must(err)
	p.checker = &Checker{Records: s, Leases: s, Checks: checks(s), Sent: s, Metrics: NewMetrics(), Logger: slog.New(slog.DiscardHandler)}
	return p
}

func (p *platform) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *platform) look() {
	p.t.Helper()
	for kind, err := range p.checker.look(p.t.Context(), p.lease) {
		if err != nil {
			p.t.Fatalf("%s: %v", kind, err)
		}
	}
}

// told are the events of turns, as "kind subject".
func (p *platform) told(nouns ...string) (all []string) {
	p.t.Helper()
	events, err := p.store.Events(p.t.Context(), 0, nil, 1000)
	p.must(err)
	for _, e := range events {
		if slices.Contains(nouns, e.Kind) {
			all = append(all, e.Kind+" "+e.Subject)
		}
	}
	return all
}

func (p *platform) want(turn event.Turn, want ...string) {
	p.t.Helper()
	if got := p.told(turn.Begins, turn.Ends); !slices.Equal(got, want) {
		p.t.Errorf("told %q, want %q", got, want)
	}
}

func (p *platform) token(owner account.ServiceAccount, name string, life time.Duration, used bool) {
	p.t.Helper()
	hash := account.Hash(name)
	_, err := p.store.CreateToken(p.t.Context(), account.TokenSpec{Owner: owner.ID, Kind: account.Service, Name: name, Scopes: []string{account.All}, Life: life, By: "ada"}, hash)
	p.must(err)
	if used {
		_, err := p.store.Principal(p.t.Context(), hash)
		p.must(err)
	}
}

func TestATokenInUseIsToldAWeekBeforeItEnds(t *testing.T) {
	p := newPlatform(t, func(s *store.Store) []Check { return []Check{ExpiringTokens(s)} })
	p.must(p.store.EnsureProject(t.Context(), "shop"))
	ci, err := p.store.CreateServiceAccount(t.Context(), account.ServiceAccount{Project: "shop", Name: "ci", Role: account.Developer, CreatedBy: "ada"})
	p.must(err)
	const day = 24 * time.Hour
	p.token(ci, "deploys", 6*day, true)
	p.token(ci, "later", 8*day, true)
	p.token(ci, "forgotten", 6*day, false) // nobody would miss it
	for range 3 {
		p.look()
	}
	p.want(event.TokenEnds, "token.expiring shop/ci/deploys")
	all, err := p.store.Conditions(t.Context())
	p.must(err)
	if len(all) != 1 || all[0].Project != "shop" || !strings.Contains(all[0].Message, "in use, and expires on ") {
		t.Errorf("%+v", all)
	}
	p.must(p.store.RevokeToken(t.Context(), ci.ID, "deploys", "ada"))
	for range 2 {
		p.look()
	}
	p.want(event.TokenEnds, "token.expiring shop/ci/deploys", "token.settled shop/ci/deploys")
}

// certificate writes one that ends then.
func certificate(t *testing.T, file string, end time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: end.Add(-time.Hour), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err == nil {
		err = os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestACertificateIsToldAWeekBeforeItEnds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tls.crt")
	p := newPlatform(t, func(*store.Store) []Check { return []Check{ExpiringCertificates(map[string]string{"temporal": file})} })
	certificate(t, file, time.Now().Add(8*24*time.Hour))
	p.look()
	p.want(event.CertEnds)
	certificate(t, file, time.Now().Add(6*24*time.Hour))
	p.look()
	p.look()
	p.want(event.CertEnds, "certificate.expiring temporal")
	p.must(os.WriteFile(file, []byte("half a file"), 0o600)) // while it is replaced
	if err := p.checker.look(t.Context(), p.lease)[event.CertEnds.Begins]; err == nil {
		t.Error("what is no certificate is fine")
	}
	p.want(event.CertEnds, "certificate.expiring temporal")
	certificate(t, file, time.Now().Add(90*24*time.Hour))
	p.look()
	p.want(event.CertEnds, "certificate.expiring temporal", "certificate.renewed temporal")
}

// temporal says who serves queues, and what waits there.
type temporal struct {
	unserved []region.Unserved
	waiting  []control.Backlog
	err      error
	deaf     bool // it has just begun to listen
}

func (q *temporal) AllUnserved() ([]region.Unserved, bool)              { return q.unserved, !q.deaf }
func (q *temporal) Backlogs(context.Context) ([]control.Backlog, error) { return q.waiting, q.err }

// A cloud without a region needs no worker, nor do pages that nobody is to be sent.
func TestAQueueThatNobodyServesIsToldWhenItIsNeeded(t *testing.T) {
	q := &temporal{}
	p := newPlatform(t, func(s *store.Store) []Check { return []Check{UnservedQueues(q, s), LaggingQueues(q)} })
	p.must(p.store.RecordRegion(t.Context(), region.Region{Spec: region.Spec{Platform: "micro", Name: "lon1", Provider: region.DigitalOcean}, Status: region.Ready, Version: 1}))
	q.unserved = []region.Unserved{{Queue: "cloud-aws", Since: time.Now()}, {Queue: "cloud-digitalocean", Since: time.Now()}, {Queue: "pages", Since: time.Now()}}
	p.look()
	p.look()
	q.deaf, q.unserved = true, q.unserved[:0:0] // another process looks now, and has not heard of anybody yet
	p.look()
	p.want(event.QueueServed, "queue.unserved cloud-digitalocean")
	q.deaf, q.unserved = false, []region.Unserved{{Queue: "cloud-aws", Since: time.Now()}, {Queue: "cloud-digitalocean", Since: time.Now()}, {Queue: "pages", Since: time.Now()}}
	q.waiting = []control.Backlog{{Queue: "pages", Tasks: 1, Age: time.Second}}
	q.unserved = slices.Delete(q.unserved, 1, 2)
	p.look()
	p.want(event.QueueServed, "queue.unserved cloud-digitalocean", "queue.unserved pages", "queue.served cloud-digitalocean")
	p.want(event.QueueLag)
}

func TestWorkThatWaitsForAMinuteIsTold(t *testing.T) {
	q := &temporal{waiting: []control.Backlog{{Queue: "build", Tasks: 40, Age: 59 * time.Second}}}
	p := newPlatform(t, func(s *store.Store) []Check { return []Check{LaggingQueues(q)} })
	p.look()
	p.want(event.QueueLag)
	q.waiting[0].Age = 61 * time.Second
	p.look()
	q.waiting[0].Age = 90 * time.Second
	p.look()
	p.want(event.QueueLag, "queue.lagging build")
	q.err = errors.New("Temporal is away") // which says nothing of the queue
	p.checker.look(t.Context(), p.lease)
	p.want(event.QueueLag, "queue.lagging build")
	q.waiting, q.err = nil, nil
	p.look()
	p.want(event.QueueLag, "queue.lagging build", "queue.current build")
}

// Whoever lost the lease without knowing records nothing, and who has it now tells nothing twice.
func TestAnotherProcessGoesOn(t *testing.T) {
	q := &temporal{waiting: []control.Backlog{{Queue: "build", Tasks: 40, Age: time.Hour}}}
	p := newPlatform(t, func(s *store.Store) []Check { return []Check{LaggingQueues(q)} })
	p.look()
	lost := p.lease
	var err error
	p.lease, err = p.store.TakeLease(t.Context(), lost, "another")
	p.must(err)
	p.look()
	q.waiting = nil
	if err := p.checker.look(t.Context(), lost)[event.QueueLag.Begins]; err == nil {
		t.Error("who lost the lease recorded something")
	}
	p.want(event.QueueLag, "queue.lagging build")
	p.look()
	p.want(event.QueueLag, "queue.lagging build", "queue.current build")
}
