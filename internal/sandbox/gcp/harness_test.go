package gcp_test

//lint:file-ignore SA1019 Fields that are deprecated are still what stock clients send and read.

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	container "cloud.google.com/go/container/apiv1"
	"cloud.google.com/go/container/apiv1/containerpb"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/cloudresourcemanager/v1"
	"google.golang.org/api/compute/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iam/v1"
	"google.golang.org/api/option"
	"google.golang.org/api/serviceusage/v1"

	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
	"github.com/m3o/platform/internal/sandbox/gcp"
	"github.com/m3o/platform/internal/sandbox/world"
)

const (
	place  = "europe-west1"
	parent = "projects/m3o-sandbox/locations/" + place
)

// account is made once: a key takes a while.
var account = sync.OnceValues(func() (gcp.Account, error) { return gcp.NewAccount("m3o-worker") })

// project is a sandbox Google Cloud, and the official SDKs to use it.
type project struct {
	t        *testing.T
	ctx      context.Context
	cloud    *gcp.Cloud
	world    *world.World
	runner   *clusterstest.Runner
	url      string
	tokens   oauth2.TokenSource
	compute  *compute.Service
	clusters *container.ClusterManagerClient
	accounts *iam.ProjectsServiceAccountsService
	projects *cloudresourcemanager.ProjectsService
	services *serviceusage.ServicesService
	stop     func()
}

// newProject starts a cloud in which five minutes take 300 ms.
func newProject(t *testing.T) *project { return open(t, t.TempDir(), 0.001, gcp.Config{}) }

// open starts a cloud on a directory, which may hold the state of another.
func open(t *testing.T, dir string, scale float64, config gcp.Config) *project {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w, err := world.Open(dir, world.Clock{Scale: scale})
	must(t, err)
	p := &project{t: t, ctx: t.Context(), world: w, runner: clusterstest.New(8)}
	config.World, config.Runner, config.Logger = w, p.runner, slog.New(slog.DiscardHandler)
	config.Versions = []string{"1.37", "1.36", "1.35", "1.34"}
	config.Authenticator = func(id string) string { return "http://127.0.0.1:1/" + id }
	config.Account, err = account()
	must(t, err)
	p.cloud, err = gcp.New(config)
	must(t, err)
	server := httptest.NewServer(p.cloud)
	p.url = server.URL
	stopped := make(chan error, 1)
	go func() { stopped <- p.cloud.Run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		server.Close()
		cancel()
		must(t, errors.Join(<-stopped, w.Close()))
	})
	t.Cleanup(p.stop)
	file, err := config.Account.File(p.url)
	must(t, err)
	key, err := google.JWTConfigFromJSON(file, compute.CloudPlatformScope)
	must(t, err)
	p.connect(key.TokenSource(context.Background()))
	return p
}

// connect makes the clients, which have their tokens from source.
func (p *project) connect(source oauth2.TokenSource) {
	p.t.Helper()
	p.tokens = source
	at := func(path string) []option.ClientOption {
		return []option.ClientOption{option.WithTokenSource(source), option.WithEndpoint(p.url + path)}
	}
	var err error
	p.compute, err = compute.NewService(p.ctx, at("/compute/v1/")...)
	must(p.t, err)
	p.clusters, err = container.NewClusterManagerRESTClient(p.ctx, at("")...)
	must(p.t, err)
	accounts, err := iam.NewService(p.ctx, at("/")...)
	must(p.t, err)
	projects, err := cloudresourcemanager.NewService(p.ctx, at("/")...)
	must(p.t, err)
	services, err := serviceusage.NewService(p.ctx, at("/")...)
	must(p.t, err)
	p.accounts, p.projects, p.services = accounts.Projects.ServiceAccounts, projects.Projects, services.Services
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// refused checks that err is the API's error of that status and reason, with words.
func refused(t *testing.T, err error, status int, reason, words string) {
	t.Helper()
	var answer *googleapi.Error
	if !errors.As(err, &answer) {
		t.Fatalf("got %v, want an API error %d", err, status)
	}
	equal(t, "status", answer.Code, status)
	if len(answer.Errors) != 1 || answer.Errors[0].Reason != reason {
		t.Errorf("reason is %v, want %s", answer.Errors, reason)
	}
	if !strings.Contains(answer.Message, words) {
		t.Errorf("message %q does not say %q", answer.Message, words)
	}
}

// tells checks that the body of the API's error has these words, in its details too.
func tells(t *testing.T, err error, words string) {
	t.Helper()
	var answer *googleapi.Error
	if !errors.As(err, &answer) || !strings.Contains(answer.Body, words) {
		t.Errorf("the error %v does not tell %q", err, words)
	}
}

// eventually waits until done is true.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long: %s", what)
		}
	}
}

// done waits for an operation of compute, by the way of its scope, and fails the test if it failed.
func (p *project) done(o *compute.Operation, err error) *compute.Operation {
	p.t.Helper()
	o = p.ended(o, err)
	if o.Error != nil {
		p.t.Fatalf("%s of %s failed: %v", o.OperationType, o.TargetLink, o.Error.Errors[0].Message)
	}
	return o
}

// ended waits for the end of an operation, good or bad.
func (p *project) ended(o *compute.Operation, err error) *compute.Operation {
	p.t.Helper()
	must(p.t, err)
	for o.Status != "DONE" {
		switch {
		case o.Zone != "":
			o, err = p.compute.ZoneOperations.Wait("m3o-sandbox", o.Zone[strings.LastIndexByte(o.Zone, '/')+1:], o.Name).Do()
		case o.Region != "":
			o, err = p.compute.RegionOperations.Wait("m3o-sandbox", o.Region[strings.LastIndexByte(o.Region, '/')+1:], o.Name).Do()
		default:
			o, err = p.compute.GlobalOperations.Wait("m3o-sandbox", o.Name).Do()
		}
		must(p.t, err)
	}
	return o
}

func network(name string) *compute.Network {
	return &compute.Network{Name: name, Description: "of the test", ForceSendFields: []string{"AutoCreateSubnetworks"}}
}

func subnetwork(name, of string) *compute.Subnetwork {
	return &compute.Subnetwork{Name: name, Network: "projects/m3o-sandbox/global/networks/" + of, IpCidrRange: "10.20.0.0/20", PrivateIpGoogleAccess: true,
		SecondaryIpRanges: []*compute.SubnetworkSecondaryRange{{RangeName: "pods", IpCidrRange: "10.20.128.0/17"}, {RangeName: "services", IpCidrRange: "10.20.16.0/20"}}}
}

// networks makes a network and a subnetwork of that name.
func (p *project) networks(name string) {
	p.t.Helper()
	p.done(p.compute.Networks.Insert("m3o-sandbox", network(name)).Do())
	p.done(p.compute.Subnetworks.Insert("m3o-sandbox", place, subnetwork(name, name)).Do())
}

const nodesAccount = "nodes-1@m3o-sandbox.iam.gserviceaccount.com"

// account makes the nodes' service account, and waits until it is known.
func (p *project) account() {
	p.t.Helper()
	_, err := p.accounts.Create("projects/m3o-sandbox", &iam.CreateServiceAccountRequest{AccountId: "nodes-1"}).Do()
	must(p.t, err)
	eventually(p.t, "the service account is known", func() bool {
		_, err := p.accounts.Get("projects/m3o-sandbox/serviceAccounts/" + nodesAccount).Do()
		return err == nil
	})
}

func poolRequest(name string, nodes int32, zones ...string) *containerpb.NodePool {
	return &containerpb.NodePool{Name: name, InitialNodeCount: nodes, Locations: zones,
		Config: &containerpb.NodeConfig{MachineType: "e2-standard-2", ServiceAccount: nodesAccount, DiskSizeGb: 50, ResourceLabels: map[string]string{"team": "a"}}}
}

func clusterRequest(name, network string, pools ...*containerpb.NodePool) *containerpb.CreateClusterRequest {
	return &containerpb.CreateClusterRequest{Parent: parent, Cluster: &containerpb.Cluster{Name: name, Network: network, Subnetwork: network, NodePools: pools,
		InitialClusterVersion: "1.34", ResourceLabels: map[string]string{"team": "a"},
		IpAllocationPolicy: &containerpb.IPAllocationPolicy{UseIpAliases: true, ClusterSecondaryRangeName: "pods", ServicesSecondaryRangeName: "services"},
		NetworkConfig:      &containerpb.NetworkConfig{DatapathProvider: containerpb.DatapathProvider_ADVANCED_DATAPATH}}}
}

// running makes a cluster with one node in each of two zones, and waits for it.
func (p *project) running(name string) *containerpb.Cluster {
	p.t.Helper()
	p.networks(name)
	p.account()
	_, err := p.clusters.CreateCluster(p.ctx, clusterRequest(name, name, poolRequest("b", 1, place+"-b"), poolRequest("c", 1, place+"-c")))
	must(p.t, err)
	return p.becomes(name, containerpb.Cluster_RUNNING)
}

func (p *project) get(name string) (*containerpb.Cluster, error) {
	return p.clusters.GetCluster(p.ctx, &containerpb.GetClusterRequest{Name: parent + "/clusters/" + name})
}

func (p *project) becomes(name string, state containerpb.Cluster_Status) *containerpb.Cluster {
	p.t.Helper()
	var found *containerpb.Cluster
	eventually(p.t, name+" becomes "+state.String(), func() bool {
		var err error
		found, err = p.get(name)
		must(p.t, err)
		return found.Status == state
	})
	return found
}

// over waits for the end of an operation of container.
func (p *project) over(o *containerpb.Operation, err error) *containerpb.Operation {
	p.t.Helper()
	must(p.t, err)
	eventually(p.t, o.OperationType.String()+" is over", func() bool {
		o, err = p.clusters.GetOperation(p.ctx, &containerpb.GetOperationRequest{Name: parent + "/operations/" + o.Name})
		must(p.t, err)
		return o.Status == containerpb.Operation_DONE
	})
	return o
}

func (p *project) delete(name string) (*containerpb.Operation, error) {
	return p.clusters.DeleteCluster(p.ctx, &containerpb.DeleteClusterRequest{Name: parent + "/clusters/" + name})
}

// inject orders a fault.
func (p *project) inject(f world.Fault) {
	p.t.Helper()
	f.Provider = gcp.Name
	must(p.t, f.Validate(p.cloud.Operations(), world.OfClouds))
	must(p.t, p.world.Update(p.ctx, func(tx *world.Tx) error {
		_, err := tx.AddFault(f)
		return err
	}))
}

func (p *project) ledger() []world.Effect {
	p.t.Helper()
	effects, err := p.world.Effects(p.ctx, 0)
	must(p.t, err)
	return effects
}

// balanced checks that the ledger tells of each thing that it was made once and removed at most once, and returns what lives.
func (p *project) balanced() map[string]int {
	p.t.Helper()
	living, left := map[string]bool{}, map[string]int{}
	for _, e := range p.ledger() {
		id := e.Resource + "/" + e.ID
		switch {
		case e.Kind == world.Created && living[id], e.Kind == world.Deleted && !living[id]:
			p.t.Errorf("line %d of the ledger: %s %s (%s) out of turn", e.Seq, id, e.Kind, e.Name)
		case e.Kind == world.Created:
			living[id] = true
			left[e.Resource]++
		case e.Kind == world.Deleted:
			delete(living, id)
			if left[e.Resource]--; left[e.Resource] == 0 {
				delete(left, e.Resource)
			}
		}
	}
	return left
}

// ask sends a bare request with a good token.
func (p *project) ask(method, path, body string) (int, string) {
	p.t.Helper()
	token, err := p.tokens.Token()
	must(p.t, err)
	return p.askAs(token.AccessToken, method, path, body)
}

func (p *project) askAs(token, method, path, body string) (int, string) {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.ctx, method, p.url+path, strings.NewReader(body))
	must(p.t, err)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(request)
	must(p.t, err)
	defer answer.Body.Close()
	var text strings.Builder
	_, err = io.Copy(&text, io.LimitReader(answer.Body, 16<<20))
	must(p.t, err)
	return answer.StatusCode, text.String()
}
