package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/sdk/testsuite"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// kubeBinary runs a real control plane.
const kubeBinary = "../bin/m3o-kube"

// access is a cloud whose one cluster is there.
type access struct {
	cloud.Clusters
	kubeconfig []byte
	err        error
}

func (a access) Access(context.Context, region.ClusterSpec) (cloud.Access, error) {
	return cloud.Access{Kubeconfig: a.kubeconfig}, a.err
}

// controlPlane runs an API server with its controllers until the test ends, and returns its kubeconfig.
func controlPlane(t *testing.T, version string) []byte {
	t.Helper()
	binary, err := filepath.Abs(kubeBinary)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	spec := fmt.Sprintf(`{"name":"test","version":%q,"apiPort":0,"loadBalancerCIDR":"127.19.8.0/28","nodes":[]}`, version)
	if err := os.WriteFile(filepath.Join(dir, "cluster.json"), []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	kube := exec.Command(binary, "cluster", "--dir", dir)
	if err := kube.Start(); err != nil {
		t.Fatalf("%v: run make build", err)
	}
	t.Cleanup(func() {
		_ = kube.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = kube.Wait()
	})
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var status struct{ Ready bool }
		if data, err := os.ReadFile(filepath.Join(dir, "status.json")); err == nil && json.Unmarshal(data, &status) == nil && status.Ready {
			kubeconfig, err := os.ReadFile(filepath.Join(dir, "admin.kubeconfig"))
			if err != nil {
				t.Fatal(err)
			}
			return kubeconfig
		}
	}
	t.Fatal("the cluster is not ready after 90 seconds")
	return nil
}

// A cluster that the cloud upgraded, and that enforces nothing, is taken where that is allowed, and found to be otherwise than it
// was applied.
func TestAClusterIsVerifiedAndInspected(t *testing.T) {
	allowed := region.Spec{Platform: "micro", Domain: "micro.mu", Name: "lon1", Provider: region.DigitalOcean, Location: "lon1", Unenforced: region.Allow,
		Kubernetes: region.Kubernetes{Version: "1.36", Nodes: region.Nodes{Count: 1, Size: "s-2vcpu-4gb"}}}
	through := &shutting{}
	parts := &Parts{Connections: &Connections{Cloud: access{kubeconfig: controlPlane(t, "1.37")}, Transport: through.carry}, Poll: time.Millisecond,
		Wanted: cluster.Parts{Images: map[region.Part]string{region.API: "registry/m3o@sha256:" + strings.Repeat("a", 64)}}}
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(parts)
	do := func(activity, out any, spec region.Spec) {
		t.Helper()
		value, err := env.ExecuteActivity(activity, spec)
		if err != nil {
			t.Fatal(err)
		}
		if out == nil {
			return
		}
		if err := value.Get(out); err != nil {
			t.Fatal(err)
		}
	}
	want := region.Verified{StorageClass: "standard", NetworkPolicy: region.Unenforced}
	var verified region.Verified
	do(parts.VerifyCluster, &verified, allowed)
	if verified != want {
		t.Errorf("verified %+v, want %+v", verified, want)
	}
	do(parts.ApplyParts, nil, allowed)
	var found region.Inspection
	do(parts.InspectParts, &found, allowed)
	if !found.Healthy || found.Verified != want || region.Minor(found.Version) != "1.37" || len(found.Drift) != 1 || found.Drift[0] != allowed.Kubernetes.Upgraded(found.Version) {
		t.Errorf("inspected %+v", found)
	}
	refused := allowed
	refused.Unenforced = ""
	do(parts.InspectParts, &found, refused)
	if !slices.ContainsFunc(found.Drift, func(d string) bool { return strings.Contains(d, "nothing in the cluster enforces NetworkPolicy") }) {
		t.Errorf("what is no longer allowed is no drift: %q", found.Drift)
	}
	through.shut.Store("/version")
	found = region.Inspection{}
	do(parts.InspectParts, &found, allowed)
	if found.Healthy || len(found.Problems) != 1 {
		t.Errorf("of a cluster that could not be compared it found %+v", found)
	}
}

// droplets answers for a cloud account: how many of ten droplets are left, or why it does not say.
type droplets struct {
	left int
	err  error
	have *region.Spec
}

func (a *droplets) Preflight(_ context.Context, _ region.Spec, have *region.Spec) (region.Preflight, error) {
	a.have = have
	return region.Preflight{Draws: []region.Draw{{Pool: "droplets", Left: a.left, Limit: 10}}}, a.err
}

// A region that stays as it is needs nothing more of its account: what is asked is how much is left. The account's refusal is no problem of
// the region's.
func TestAnInspectionAsksWhatIsLeftOfTheAccountsLimits(t *testing.T) {
	spec := region.Spec{Platform: "micro", Name: "lon1", Provider: region.DigitalOcean, Location: "lon1"}
	of := &droplets{left: 2}
	parts := &Parts{Connections: &Connections{Cloud: access{err: fault.New(fault.Unavailable, "no cluster")}}, Account: of}
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(parts)
	inspect := func() (found region.Inspection) {
		t.Helper()
		value, err := env.ExecuteActivity(parts.InspectParts, spec)
		if err == nil {
			err = value.Get(&found)
		}
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	found := inspect()
	if len(found.Draws) != 1 || found.Draws[0].Left != 2 || of.have == nil || of.have.Key() != spec.Key() {
		t.Errorf("found %+v, asked for what differs from %+v", found.Draws, of.have)
	}
	of.err = fault.New(fault.Denied, "the token may not read the account")
	if found := inspect(); found.Draws != nil || len(found.Problems) != 1 || strings.Contains(found.Problems[0], "token") {
		t.Errorf("found %+v", found)
	}
}

// shutting carries calls to an API server, but for those to one path.
type shutting struct {
	next http.RoundTripper
	shut atomic.Value
}

func (s *shutting) carry(next http.RoundTripper) http.RoundTripper {
	s.next = next
	return s
}

func (s *shutting) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == s.shut.Load() {
		return nil, errors.New("connection refused")
	}
	return s.next.RoundTrip(r)
}
