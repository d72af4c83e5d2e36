package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"testing"
	"time"

	container "cloud.google.com/go/container/apiv1"
	"cloud.google.com/go/container/apiv1/containerpb"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/compute/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iam/v1"
	"google.golang.org/api/option"

	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/world"
)

// googleKills is how often the sandbox is killed while somebody uses Google Cloud.
const googleKills = 12

// googler is who makes and removes things in Google Cloud, and asks again when there is no answer.
type googler struct {
	t        *testing.T
	ctx      context.Context
	compute  *compute.Service
	clusters *container.ClusterManagerClient
	accounts *iam.ProjectsServiceAccountsService
}

func (v *victim) googler(ctx context.Context) *googler {
	v.t.Helper()
	data, err := os.ReadFile(sandbox.CredentialsFile(v.dir, "gcp"))
	must(v.t, err)
	key, err := google.JWTConfigFromJSON(data, compute.CloudPlatformScope)
	must(v.t, err)
	url := fmt.Sprintf("http://127.0.0.1:%d", v.port+3)
	at := func(path string) []option.ClientOption {
		return []option.ClientOption{option.WithTokenSource(key.TokenSource(context.Background())), option.WithEndpoint(url + path)}
	}
	g := &googler{t: v.t, ctx: ctx}
	g.compute, err = compute.NewService(ctx, at("/compute/v1/")...)
	must(v.t, err)
	g.clusters, err = container.NewClusterManagerRESTClient(ctx, at("")...)
	must(v.t, err)
	accounts, err := iam.NewService(ctx, at("/")...)
	must(v.t, err)
	g.accounts = accounts.Projects.ServiceAccounts
	return g
}

// until repeats a step until it is done. No answer, and the refusals of what is under way, are no reason to stop.
func (g *googler) until(what string, step func() (done bool, err error)) {
	g.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		done, err := step()
		if done && err == nil {
			return
		}
		var answer *googleapi.Error
		if errors.As(err, &answer) && answer.Code != 400 && answer.Code != 404 && answer.Code != 409 {
			g.t.Errorf("%s: %v", what, err)
			return
		}
	}
	g.t.Errorf("%s: it takes too long", what)
}

// missing says that an answer is that there is no such thing.
func missing(err error) bool {
	var answer *googleapi.Error
	return errors.As(err, &answer) && answer.Code == http.StatusNotFound
}

// life makes a cluster with all that it needs, and removes it again.
func (g *googler) life(name string) {
	const project, place = "m3o-sandbox", "europe-west1"
	parent := "projects/" + project + "/locations/" + place
	email := name + "-nodes@" + project + ".iam.gserviceaccount.com"
	network := &compute.Network{Name: name, ForceSendFields: []string{"AutoCreateSubnetworks"}}
	g.until("make the network", func() (bool, error) {
		_, err := g.compute.Networks.Get(project, name).Do()
		if missing(err) {
			_, err = g.compute.Networks.Insert(project, network).Do()
			return false, err
		}
		return true, err
	})
	g.until("make the subnetwork", func() (bool, error) {
		_, err := g.compute.Subnetworks.Get(project, place, name).Do()
		if missing(err) {
			_, err = g.compute.Subnetworks.Insert(project, place, &compute.Subnetwork{Name: name, Network: "global/networks/" + name, IpCidrRange: "10.20.0.0/20"}).Do()
			return false, err
		}
		return true, err
	})
	g.until("make the service account", func() (bool, error) {
		_, err := g.accounts.Get("projects/" + project + "/serviceAccounts/" + email).Do()
		if missing(err) {
			_, err = g.accounts.Create("projects/"+project, &iam.CreateServiceAccountRequest{AccountId: name + "-nodes"}).Do()
			return false, err
		}
		return true, err
	})
	g.until("make the cluster", func() (bool, error) {
		found, err := g.clusters.GetCluster(g.ctx, &containerpb.GetClusterRequest{Name: parent + "/clusters/" + name})
		if missing(err) {
			_, err = g.clusters.CreateCluster(g.ctx, &containerpb.CreateClusterRequest{Parent: parent, Cluster: &containerpb.Cluster{Name: name, Network: name, Subnetwork: name,
				NodePools: []*containerpb.NodePool{{Name: "b", InitialNodeCount: 1, Locations: []string{place + "-b"}, Config: &containerpb.NodeConfig{ServiceAccount: email}}}}})
			return false, err
		}
		return found.GetStatus() == containerpb.Cluster_RUNNING, err
	})
	g.until("remove the cluster", func() (bool, error) {
		_, err := g.clusters.DeleteCluster(g.ctx, &containerpb.DeleteClusterRequest{Name: parent + "/clusters/" + name})
		if missing(err) {
			return true, nil
		}
		return false, err
	})
	for what, remove := range map[string]func() error{
		"subnetwork": func() error { _, err := g.compute.Subnetworks.Delete(project, place, name).Do(); return err },
		"service account": func() error {
			_, err := g.accounts.Delete("projects/" + project + "/serviceAccounts/" + email).Do()
			return err
		},
	} {
		g.until("remove the "+what, func() (bool, error) { err := remove(); return missing(err), ignoreMissing(err) })
	}
	g.until("remove the network", func() (bool, error) {
		_, err := g.compute.Networks.Delete(project, name).Do()
		return missing(err), ignoreMissing(err)
	})
}

func ignoreMissing(err error) error {
	if missing(err) {
		return nil
	}
	return err
}

// TestKilledGoogleCloud kills the sandbox again and again while somebody makes and removes clusters there. In the end nothing was made
// twice, nothing is left, and the ledger says exactly that.
func TestKilledGoogleCloud(t *testing.T) {
	v := newVictim(t)
	g := v.googler(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range 5 {
			g.life(fmt.Sprintf("life-%d", n))
		}
	}()
	for range googleKills {
		select {
		case <-done:
		case <-time.After(time.Duration(100+rand.IntN(500)) * time.Millisecond):
			v.kill()
		}
	}
	<-done
	made, names, living := map[string]int{}, map[string]int{}, map[string]bool{}
	for _, e := range v.effects() {
		if e.Provider != "gcp" {
			continue
		}
		id := e.Resource + "/" + e.ID
		switch e.Kind {
		case world.Created:
			made[id]++
			names[e.Resource+" "+e.Name]++
			living[id] = true
		case world.Deleted:
			if !living[id] {
				t.Errorf("%s was deleted twice, or never made", id)
			}
			delete(living, id)
		}
	}
	for _, counted := range []map[string]int{made, names} {
		for what, n := range counted {
			if n != 1 && what != "node_pool b" {
				t.Errorf("%s was made %d times", what, n)
			}
		}
	}
	if len(living) > 0 || len(made) < 20 {
		t.Errorf("%d things were made, left are %v", len(made), living)
	}
}
