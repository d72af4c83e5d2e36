//go:build embedded

package spine

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// The answers of the commands, as scripts read them.
type (
	regionLine struct {
		Name, Provider, Region, Status string
		Endpoints                      struct{ API string }
	}
	ran struct {
		Service string
		Release int
		Image   string
		Regions []struct{ Name, Status, URL string }
	}
)

const hello = "../../../deploy/examples/hello"

// TestSpine is the way of a newcomer: regions, a service on them, a second release under load, back again, and away.
func TestSpine(t *testing.T) {
	p := start(t, settings{scale: 0.01, poll: "200ms"})
	file := p.file("lon1", "nyc3")
	p.must("apply", "-f", file, "--yes")
	regions := decode[[]regionLine](t, p.must("region", "list", "--json"))
	if len(regions) != 2 || regions[0].Status != "ready" || regions[0].Provider != "digitalocean" || regions[0].Endpoints.API == "" {
		t.Fatalf("regions after apply: %+v", regions)
	}
	if out := p.must("plan", "-f", file); !strings.Contains(out, "no changes") {
		t.Errorf("plan after apply prints %q", out)
	}
	first := decode[ran](t, p.must("run", hello, "--name", "hello", "--json"))
	for _, r := range first.Regions {
		if body := get(t, r.URL); r.Status != "ready" || !strings.Contains(body, r.Name) {
			t.Errorf("region %s is %s and answers %q", r.Name, r.Status, body)
		}
	}
	if out := p.must("call", "hello", "/greet", `{"name":"Ada"}`); !strings.Contains(out, "Ada") {
		t.Errorf("call prints %q", out)
	}
	t.Run("a second release loses no request", func(t *testing.T) { rollUnderLoad(t, p, first) })
	t.Run("what does not compile changes nothing", func(t *testing.T) { refuse(t, p) })
	t.Run("what does not start is taken back", func(t *testing.T) { takeBack(t, p, first) })
	t.Run("rollback", func(t *testing.T) {
		p.must("rollback", "hello")
		if s := p.must("status", "hello", "--json"); !strings.Contains(s, `"status": "running"`) && !strings.Contains(s, `"status":"running"`) {
			t.Errorf("after rollback: %s", s)
		}
	})
	t.Run("a fixed port", func(t *testing.T) {
		r := decode[ran](t, p.must("run", "../../../deploy/examples/fixedport", "--name", "fixed", "--port", "3000", "--public", "--json"))
		get(t, r.Regions[0].URL)
	})
	t.Run("a program with its dependencies vendored", func(t *testing.T) {
		r := decode[ran](t, p.must("run", "../../../deploy/examples/vendored", "--name", "vendored", "--package", "./cmd/server", "--public", "--json"))
		get(t, r.Regions[0].URL)
	})
	t.Run("a program with its dependencies in the module proxy", func(t *testing.T) {
		r := decode[ran](t, p.must("run", "../../../deploy/examples/modules", "--name", "modules", "--public", "--json"))
		if body := get(t, r.Regions[0].URL); !strings.Contains(body, "-5") { // a UUID of version 5
			t.Errorf("it answers %q", body)
		}
	})
	t.Run("a second one on the same data or ports", func(t *testing.T) { refuseSecond(t, p) })
	t.Run("a region's kubeconfig", func(t *testing.T) { useCluster(t, p) })
	t.Run("what a service prints", func(t *testing.T) { readLogs(t, p) })
	t.Run("stopped and started again, each process by itself", func(t *testing.T) { restart(t, p, first) })
	t.Run("a region that comes later gets every service", func(t *testing.T) {
		p.must("apply", "-f", p.file("lon1", "nyc3", "sgp1"), "--yes")
		eventually(t, 2*time.Minute, func() error {
			if s := p.must("status", "hello", "--json"); !strings.Contains(s, `"micro/sgp1"`) {
				return fmt.Errorf("hello does not run in sgp1: %s", s)
			}
			return nil
		})
	})
	t.Run("an unknown service", func(t *testing.T) {
		resp, err := http.Get(regions[0].Endpoints.API + "nothing/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusNotFound || !strings.Contains(string(body), "hello") {
			t.Errorf("%s: %s", resp.Status, body)
		}
	})
	p.must("kill", "hello", "--yes")
	p.must("destroy", "-f", p.file("lon1", "nyc3", "sgp1"), "--yes")
	p.nothingLeft()
	p.once(3, true)
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s %v: %s", url, resp.Status, err, body)
	}
	return string(body)
}

func eventually(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(300 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// variant is a copy of hello with something changed.
func variant(t *testing.T, change func(source string) string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"go.mod", "main.go", "m3o.yaml"} {
		data, err := os.ReadFile(filepath.Join(hello, name))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if name == "main.go" {
			data = []byte(change(string(data)))
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func rollUnderLoad(t *testing.T, p *platform, first ran) {
	stop, load := make(chan struct{}), sync.WaitGroup{}
	var mu sync.Mutex
	asked, lost := 0, []string{}
	for _, r := range first.Regions {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
				_, why := ask(r.URL)
				mu.Lock()
				asked++
				if why != "" {
					lost = append(lost, r.Name+": "+why)
				}
				mu.Unlock()
			}
		})
	}
	second := decode[ran](t, p.must("run", variant(t, func(s string) string { return s + "\n// changed\nvar _ = 2\n" }), "--name", "hello", "--json"))
	time.Sleep(time.Second)
	close(stop)
	load.Wait()
	if len(lost) > 0 {
		t.Errorf("%d of %d requests were lost: %v", len(lost), asked, lost[:min(5, len(lost))])
	}
	if second.Release != first.Release+1 || second.Image == first.Image {
		t.Errorf("second release: %+v", second)
	}
	t.Logf("%d requests during the roll, %d lost", asked, len(lost))
}

func ask(url string) (body, why string) {
	resp, err := http.Get(url)
	if err != nil {
		return "", err.Error()
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return "", fmt.Sprintf("%s %v %s", resp.Status, err, data)
	}
	return string(data), ""
}

// answersAs says why hello does not answer in the region as that release.
func answersAs(url, region string, release int) error {
	body, why := ask(url)
	if want := fmt.Sprintf("hello from %s (service hello, release %d,", region, release); why != "" || !strings.HasPrefix(body, want) {
		return fmt.Errorf("%s answers %q %s, want %q", url, body, why, want)
	}
	return nil
}

func refuse(t *testing.T, p *platform) {
	r := p.m3o("run", variant(t, func(s string) string { return s + "\nfunc broken() { return 1 }\n" }), "--name", "hello")
	if r.code != 1 || !strings.Contains(r.errs+r.out, "too many return values") {
		t.Errorf("exit %d, and no compiler's word: %s %s", r.code, r.errs, r.out)
	}
}

func takeBack(t *testing.T, p *platform, first ran) {
	r := p.m3o("run", variant(t, func(s string) string {
		return strings.Replace(s, "func main() {", "func main() {\n\tprintln(\"this release is ill\")\n\tos.Exit(3)\n", 1)
	}), "--name", "hello")
	if r.code != 1 || !strings.Contains(r.errs+r.out, "this release is ill") {
		t.Errorf("exit %d, and not the program's own last words: %s %s", r.code, r.errs, r.out)
	}
	for _, region := range first.Regions {
		get(t, region.URL)
	}
}
