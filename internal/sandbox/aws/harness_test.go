package aws_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/m3o/platform/internal/sandbox/aws"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
	"github.com/m3o/platform/internal/sandbox/world"
)

const (
	region = "eu-west-1"
	scale  = 0.002
)

var keys = aws.Keys{AccessKey: "AKIATESTTESTTESTTEST", Secret: "test/secret+of/no+account"}

// account is a running sandbox with the official clients of it.
type account struct {
	t      *testing.T
	url    string
	cloud  *aws.Cloud
	world  *world.World
	runner *clusterstest.Runner
	config sdk.Config

	ec2    *ec2.Client
	eks    *eks.Client
	iam    *iam.Client
	sts    *sts.Client
	elb    *elasticloadbalancingv2.Client
	quotas *servicequotas.Client
}

// open makes an account on a new state.
func open(t *testing.T, change ...func(*aws.Config)) *account {
	t.Helper()
	w, err := world.Open(t.TempDir(), world.Clock{Scale: scale})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return openOn(t, w, clusterstest.New(8), change...)
}

func openOn(t *testing.T, w *world.World, runner *clusterstest.Runner, change ...func(*aws.Config)) *account {
	t.Helper()
	config := aws.Config{World: w, Runner: runner, Versions: []string{"1.35", "1.34"}, Account: keys.Account(), AccessKey: keys.AccessKey, Secret: keys.Secret,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for _, c := range change {
		c(&config)
	}
	cloud, err := aws.New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- cloud.Run(ctx) }()
	server := httptest.NewServer(cloud)
	t.Cleanup(func() {
		server.Close()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	a := &account{t: t, url: server.URL, cloud: cloud, world: w, runner: runner}
	a.as(keys)
	return a
}

// as makes the clients sign with those keys.
func (a *account) as(k aws.Keys) {
	a.config = sdk.Config{Region: region, Credentials: credentials.NewStaticCredentialsProvider(k.AccessKey, k.Secret, ""), BaseEndpoint: &a.url,
		Retryer: func() sdk.Retryer { return sdk.NopRetryer{} }, HTTPClient: &http.Client{Timeout: 20 * time.Second}}
	a.ec2, a.eks, a.iam = ec2.NewFromConfig(a.config), eks.NewFromConfig(a.config), iam.NewFromConfig(a.config)
	a.sts, a.elb, a.quotas = sts.NewFromConfig(a.config), elasticloadbalancingv2.NewFromConfig(a.config), servicequotas.NewFromConfig(a.config)
}

func (a *account) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

// refused checks that an error is the one of that code, with words that say why.
func (a *account) refused(err error, code string, words ...string) {
	a.t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		a.t.Errorf("got %v, want %s", err, code)
		return
	}
	for _, word := range words {
		if !strings.Contains(api.ErrorMessage(), word) {
			a.t.Errorf("%s says %q, nothing of %q", code, api.ErrorMessage(), word)
		}
	}
}

// until waits for what becomes true by itself.
func (a *account) until(what string, is func() bool) {
	a.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if is() {
			return
		}
	}
	a.t.Fatalf("it never happens that %s", what)
}

// fault orders one.
func (a *account) fault(f world.Fault) {
	a.t.Helper()
	f.Provider = aws.Name
	if err := f.Validate(a.cloud.Operations(), world.OfClouds); err != nil {
		a.t.Fatal(err)
	}
	a.must(a.world.Update(a.t.Context(), func(tx *world.Tx) error {
		_, err := tx.AddFault(f)
		return err
	}))
}

// effects counts what happened to a kind of resource.
func (a *account) effects(change, kind string) int {
	a.t.Helper()
	all, err := a.world.Effects(a.t.Context(), 0)
	a.must(err)
	n := 0
	for _, e := range all {
		if e.Kind == change && e.Resource == kind {
			n++
		}
	}
	return n
}

// balanced fails for what the ledger says was deleted though it was never created, or more often than that.
func (a *account) balanced() {
	a.t.Helper()
	all, err := a.world.Effects(a.t.Context(), 0)
	a.must(err)
	there := map[string]int{}
	for _, e := range all {
		switch e.Kind {
		case world.Created:
			there[e.ID]++
		case world.Deleted:
			if there[e.ID]--; there[e.ID] < 0 {
				a.t.Errorf("%s %s was deleted %d times more than it was created", e.Resource, e.ID, -there[e.ID])
			}
		}
	}
}
