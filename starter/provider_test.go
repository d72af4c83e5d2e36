//go:build embedded

package main

import (
	"context"
	"slices"
	"strings"
	"testing"

	enumspb "go.temporal.io/api/enums/v1"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/dev"
	"github.com/m3o/platform/internal/region"
)

// testSettings are those of the provider that this file adds.
type testSettings struct {
	KeyFile string `env:"M3O_TEST_KEY_FILE" say:"file with the key of the test cloud"`
	URL     string `env:"M3O_TEST_URL" say:"base URL of the test cloud"`
}

// testCloud is a provider that has nothing: what a worker of it serves can be asked for, and fails.
type testCloud struct{ cloud.Provider }

// addRow adds a row to the table until the test ends.
func addRow(t *testing.T, r row) {
	before := queues
	queues = append(slices.Clone(queues), r)
	t.Cleanup(func() { queues = before })
}

// helps fails the test unless the help of workers has every one of the words.
func helps(t *testing.T, words ...string) {
	t.Helper()
	text := m3o("worker", "--help").must(t).out
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("m3o worker --help does not say %q:\n%s", word, text)
		}
	}
}

// TestAProviderIsARow adds a provider as its developer would, by one row, and asks every place that must follow from it.
func TestAProviderIsARow(t *testing.T) {
	user(t)
	opened := make(chan testSettings, 1)
	open := func(_ *base, s testSettings) (cloud.Provider, error) {
		opened <- s
		return testCloud{}, nil
	}
	addRow(t, cloudRow("test", open, func(at dev.SandboxCloud) testSettings { return testSettings{KeyFile: at.Credentials, URL: at.URL} }))

	helps(t, "cloud-test", "For the queue cloud-test:", "M3O_TEST_KEY_FILE", "file with the key of the test cloud", "M3O_TICKET_PUBLIC_KEYS")
	m3o("worker", "--queues", "cloud-tset").fails(t, exitMisused, "--queues", `"cloud-tset"`, "cloud-test")
	if lines := strings.Join(registered(), "\n"); !strings.Contains(lines, "cloud-test activity EnsureNetwork") || strings.Contains(lines, "cloud-test workflow") {
		t.Errorf("the table serves\n%s", lines)
	}

	var process dev.Process
	for _, p := range platformProcesses(nil) {
		if p.Name == "worker-cloud-test" {
			process = p
		}
	}
	if !slices.Equal(process.Args, []string{"worker", "--queues", "cloud-test"}) || process.Cloud == nil || process.Cloud.Name != "test" {
		t.Fatalf("m3o dev runs %+v", process)
	}
	told := config.Settings{Store: "the database", TicketKeys: "tickets.json"}.With(process.Cloud.Own(dev.SandboxCloud{URL: "http://127.0.0.1:9002", Credentials: "test.key"})).Of(process.Parts...).Environ()
	for _, want := range []string{"M3O_TEST_URL=http://127.0.0.1:9002", "M3O_TEST_KEY_FILE=test.key", "M3O_TICKET_PUBLIC_KEYS=tickets.json"} {
		if !slices.Contains(told, want) {
			t.Errorf("m3o dev --split does not tell the worker %s: %v", want, told)
		}
	}
	if slices.Contains(told, "M3O_STORE=the database") {
		t.Error("the worker of a cloud is told where the database is")
	}

	p := newWatchedPlatform(t)
	s := p.settings.With(testSettings{KeyFile: "test.key"})
	signals, err := openSignals(p.ctx, s, "test")
	p.must("watch", err)
	p.background("worker", func(ctx context.Context) error {
		return runWorker(ctx, s.Of(process.Parts...), p.rows("cloud-test"), signals)
	})
	select {
	case got := <-opened:
		if got.KeyFile != "test.key" {
			t.Errorf("the provider is opened with %+v", got)
		}
	case <-p.ctx.Done():
		t.Fatal("the provider is not opened")
	}
	b, err := connect(p.ctx, p.settings, signals)
	p.must("reach Temporal", err)
	defer b.close()
	p.until("somebody serves the queue", func() bool {
		is, err := b.temporal.DescribeTaskQueue(p.ctx, "cloud-test", enumspb.TASK_QUEUE_TYPE_ACTIVITY)
		return err == nil && len(is.GetPollers()) > 0
	})
}

// TestACloudWithoutASandboxIsNotForOneMachine: it is served by `m3o worker`, and m3o dev has nothing to run it on.
func TestACloudWithoutASandboxIsNotForOneMachine(t *testing.T) {
	user(t)
	addRow(t, cloudRow("bare", func(*base, testSettings) (cloud.Provider, error) { return testCloud{}, nil }, nil))
	helps(t, "cloud-bare")
	for _, p := range platformProcesses(nil) {
		if p.Name == "worker-cloud-bare" {
			t.Errorf("m3o dev runs %+v", p)
		}
	}
}

// TestThePlatformFileTakesEveryCloud that a worker serves.
func TestThePlatformFileTakesEveryCloud(t *testing.T) {
	for _, r := range queues {
		name, isCloud := strings.CutPrefix(r.queue, "cloud-")
		if !isCloud {
			continue
		}
		file := strings.ReplaceAll(oneRegion, "provider: do\n", "provider: "+name+"\n")
		specs, err := region.ParsePlatform([]byte(file))
		if err != nil || len(specs) != 1 || string(specs[0].Provider) != name {
			t.Errorf("%s: %+v, %v", name, specs, err)
		}
	}
}
