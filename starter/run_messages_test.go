package main

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/m3o/platform/internal/client/apitest"
	"github.com/m3o/platform/internal/diagnosis"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// provoked is one way in which `m3o run` has something to say.
type provoked struct {
	name string
	args []string             // after `m3o run`
	have map[string]string    // files of the folder that the last argument names; a go.mod and a main.go are there, unless they are named
	lack []string             // of those, files that are not there
	in   func(*apitest.World) // what is wrong in the platform
	env  map[string]string
}

// TestMessagesOfRun holds everything that `m3o run` says to one file, which is read aloud before it is committed: no internal names,
// one cause, one next step. Each is provoked twice, as text and with --json, where the same facts are fields.
func TestMessagesOfRun(t *testing.T) {
	var text strings.Builder
	for _, p := range provocations() {
		t.Run(p.name, func(t *testing.T) {
			said, asJSON := p.said(t, false), p.said(t, true)
			fmt.Fprintf(&text, "## %s\n$ m3o run %s\n%s\n--json: %s\n", p.name, strings.Join(p.args, " "), said.text(), asJSON.facts(t))
			for _, line := range strings.Split(said.errs, "\n") {
				if word := internal.FindString(line); word != "" {
					t.Errorf("%q is a word of our own: %s", word, line)
				}
			}
			if said.code != asJSON.code {
				t.Errorf("exit %d, with --json %d", said.code, asJSON.code)
			}
		})
	}
	golden(t, "run_messages.golden", text.String())
}

// internal are words that only we know.
var internal = regexp.MustCompile(`(?i)\b(workflow|activity|activities|heartbeat|temporal|payload|idempotency|CompileSource|ResolveImage|AwaitService|ApplyService|VerifyRelease|` +
	`DeployRelease|BuildImage|OperateService|attempt \d+|spec\.[a-z]+|origin\.[a-z]+|service\.name|namespace|deployment|replicaset|configmap|huma|sqlite)\b`)

func (p provoked) said(t *testing.T, asJSON bool) commanded {
	w := apitest.New(t)
	at(t, w)
	for name, value := range p.env {
		t.Setenv(name, value)
	}
	for _, name := range []string{"lon1", "nyc3"} {
		w.AddRegion(region.Region{Spec: apitest.Spec(name), Status: region.Ready})
	}
	files := map[string]string{"shop/go.mod": "module example.com/shop\n\ngo 1.24\n", "shop/main.go": "package main\n\nfunc main() {}\n"}
	for name, content := range p.have {
		files["shop/"+name] = content
	}
	for _, name := range p.lack {
		delete(files, "shop/"+name)
	}
	write(t, "shop/README.md", "what it is\n")
	for name, content := range files {
		write(t, name, content)
	}
	if p.in != nil {
		p.in(w)
	}
	args := append([]string{"run"}, p.args...)
	if asJSON {
		args = append(args, "--json")
	}
	return m3o(args...)
}

// variable is what differs from run to run.
var variable = []struct {
	is   *regexp.Regexp
	name string
}{
	{regexp.MustCompile(`/tmp/[^ :,"']*`), "FOLDER"},
	{regexp.MustCompile(`http://127\.0\.0\.1:\d+`), "http://ADDRESS"},
	{regexp.MustCompile(`sha256:[0-9a-f]{12,64}`), "sha256:DIGEST"},
	{regexp.MustCompile(`\d+ kB`), "N kB"},
	{regexp.MustCompile(`(?m)(after |  )(\d+)s([.]?)$`), "${1}Ns$3"},
	{regexp.MustCompile(`"(elapsed_seconds|bytes)":\d+`), `"$1":N`},
	{regexp.MustCompile(`the token is from [^)]*`), "the token is from SOMEWHERE"},
}

func steady(text string) string {
	for _, v := range variable {
		text = v.is.ReplaceAllString(text, v.name)
	}
	return text
}

// text is what a person reads. How the stages come along depends on when one looks.
func (c commanded) text() string {
	var lines []string
	for line := range strings.Lines(steady(c.errs)) {
		if coming.MatchString(line) {
			continue
		}
		lines = append(lines, "  "+strings.TrimRight(line, "\n"))
	}
	for line := range strings.Lines(steady(c.out)) {
		lines = append(lines, "  | "+strings.TrimRight(line, "\n"))
	}
	return fmt.Sprintf("exit %d\n%s", c.code, strings.Join(lines, "\n"))
}

var coming = regexp.MustCompile(`^(release \d+|lon1|nyc3) +(pending|deploying|build|image|rollout|apply|ready|failed|rolledback) .*Ns\n$`)

// facts is the one JSON value on one line.
func (c commanded) facts(t *testing.T) string {
	var v any
	if err := json.Unmarshal([]byte(c.out), &v); err != nil {
		t.Errorf("stdout is no JSON: %v: %q", err, c.out)
	}
	line, err := json.Marshal(v)
	if err != nil {
		t.Error(err)
	}
	return steady(string(line))
}

// provocations are grouped by who has something to say.
func provocations() []provoked {
	var all []provoked
	for _, group := range [][]provoked{misuses(), sources(), manifests(), refusals(), builds(), rollouts(), successes()} {
		all = append(all, group...)
	}
	return all
}

func misuses() []provoked {
	return []provoked{
		{name: "nothing to run", args: nil},
		{name: "both a folder and an image", args: []string{"--image", "example.com/shop:1", "shop"}},
		{name: "an image without a name", args: []string{"--image", "example.com/shop:1"}},
		{name: "two folders", args: []string{"shop", "shop"}},
		{name: "a flag that is not there", args: []string{"--prot", "80", "shop"}},
		{name: "a name that is no label", args: []string{"--name", "My_Shop", "shop"}},
		{name: "a setting without a value", args: []string{"--env", "LEVEL", "shop"}},
		{name: "PORT as a setting", args: []string{"--env", "PORT=1", "shop"}},
		{name: "a port that is none", args: []string{"--port", "70000", "shop"}},
		{name: "too many replicas", args: []string{"--replicas", "1000", "shop"}},
		{name: "a start that is too long", args: []string{"--start", "10h", "shop"}},
		{name: "a timeout that is no time", args: []string{"--timeout", "soon", "shop"}},
		{name: "a protocol that is none", args: []string{"--protocol", "h3", "shop"}},
		{name: "ldflags that are not taken", args: []string{"--ldflags", "-extldflags -static", "shop"}},
		{name: "a reset of what is no setting", args: []string{"--reset", "replica", "shop"}},
	}
}

func sources() []provoked {
	return []provoked{
		{name: "no such folder", args: []string{"nowhere"}},
		{name: "a file instead of a folder", args: []string{"shop/main.go"}},
		{name: "no program", args: []string{"shop"}, lack: []string{"go.mod", "main.go"}},
		{name: "no go.mod", args: []string{"shop"}, lack: []string{"go.mod"}},
		{name: "a library", args: []string{"shop"}, have: map[string]string{"main.go": "package shop\n"}},
		{name: "two packages in a folder", args: []string{"shop"}, have: map[string]string{"other.go": "package other\n"}},
		{name: "two programs below", args: []string{"shop"}, lack: []string{"main.go"}, have: map[string]string{"cmd/a/main.go": "package main\n\nfunc main() {}\n", "cmd/b/main.go": "package main\n\nfunc main() {}\n"}},
		{name: "a package that is not there", args: []string{"--package", "./cmd/server", "shop"}},
		{name: "a replace that leaves the folder", args: []string{"shop"}, have: map[string]string{"go.mod": "module example.com/shop\n\ngo 1.24\n\nrequire example.com/lib v0.0.0\n\nreplace example.com/lib => ../lib\n",
			"../lib/go.mod": "module example.com/lib\n\ngo 1.24\n", "../lib/lib.go": "package lib\n", "main.go": "package main\n\nimport _ \"example.com/lib\"\n\nfunc main() {}\n"}},
		{name: "an embed of an ignored file", args: []string{"shop"}, have: map[string]string{".gitignore": "*.txt\n", "a.txt": "a\n", "main.go": "package main\n\nimport _ \"embed\"\n\n//go:embed a.txt\nvar a string\n\nfunc main() { _ = a }\n"}},
		{name: "an ignored package", args: []string{"shop"}, have: map[string]string{".gitignore": "gen/\n", "gen/gen.go": "package gen\n", "main.go": "package main\n\nimport _ \"example.com/shop/gen\"\n\nfunc main() {}\n"}},
		{name: "a newer Go than services are built with", args: []string{"shop"}, have: map[string]string{"go.mod": "module example.com/shop\n\ngo 1.99.0\n"},
			in: func(w *apitest.World) { w.AddBuilder(release.Builder{Arch: "amd64", Go: "go1.26.8"}) }},
		{name: "no checksums", args: []string{"shop"}, have: map[string]string{"go.mod": "module example.com/shop\n\ngo 1.24\n\nrequire example.com/q v1.0.0\n", "main.go": "package main\n\nimport _ \"example.com/q\"\n\nfunc main() {}\n"}},
		{name: "half a vendor folder", args: []string{"shop"}, have: map[string]string{"go.mod": "module example.com/shop\n\ngo 1.24\n\nrequire example.com/q v1.0.0\n", ".gitignore": "vendor/*/\n",
			"vendor/modules.txt": "# example.com/q v1.0.0\n## explicit\nexample.com/q\n", "vendor/example.com/q/q.go": "package q\n", "main.go": "package main\n\nimport _ \"example.com/q\"\n\nfunc main() {}\n"}},
		{name: "a workspace that reaches further", args: []string{"shop"}, have: map[string]string{"go.work": "go 1.24\n\nuse .\nuse ../lib\n", "../lib/go.mod": "module example.com/lib\n"}},
		{name: "the only program below, with a file left out", args: []string{"shop"}, lack: []string{"main.go"}, have: map[string]string{".gitignore": "local.go\n", "cmd/a/main.go": "package main\n\nfunc main() {}\n", "cmd/a/local.go": "package main\n"}},
		{name: "a folder of a module", args: []string{"shop/cmd/a"}, have: map[string]string{"cmd/a/main.go": "package main\n\nfunc main() {}\n"}},
		{name: "cgo", args: []string{"shop"}, have: map[string]string{"main.go": "package main\n\nimport \"C\"\n\nfunc main() {}\n"}},
	}
}

func manifests() []provoked {
	manifest := func(name, text string) provoked {
		return provoked{name: name, args: []string{"shop"}, have: map[string]string{"m3o.yaml": text}}
	}
	return []provoked{
		manifest("a field that is not there", "replica: 2\n"),
		manifest("a value that is none", "access: everybody\n"),
		manifest("a number for a name", "name: 12\n"),
		manifest("a number in another form", "name: shop\nreplicas: 0x2\n"),
		manifest("a name that is there twice", "port: 80\nport: 81\n"),
		manifest("several things at once", "port: 70000\nreplicas: 1000\nenv: {PORT: \"1\"}\n"),
		manifest("an anchor", "name: &a x\naccess: *a\n"),
		manifest("no YAML", "name: [\n"),
		{name: "m3o.yml", args: []string{"shop"}, have: map[string]string{"m3o.yml": "name: shop\n"}},
	}
}

func refusals() []provoked {
	return []provoked{
		{name: "a token that is not known", args: []string{"shop"}, env: map[string]string{"M3O_TOKEN": "m3o_wrong"}},
		{name: "a project that is not there", args: []string{"--project", "shpo", "shop"}},
		{name: "an API that is no API", args: []string{"--api", "ftp://example.com", "shop"}},
	}
}

func builds() []provoked {
	build := func(name string, err error, log ...string) provoked {
		return provoked{name: name, args: []string{"shop"}, in: func(w *apitest.World) {
			w.Build = func(say func(string), _ release.Release) error {
				for _, line := range log {
					say(line)
				}
				return err
			}
		}}
	}
	compiler := "./main.go:3:1: too many return values\n\thave (number)\n\twant ()"
	return []provoked{
		build("a source that does not compile", fault.New(fault.Failed, "%s", fault.WithOutput("the source does not compile", compiler)), strings.Split(compiler, "\n")...),
		build("a compiler that said more than was shown", fault.New(fault.Failed, "%s", fault.WithOutput("the source does not compile", compiler))),
		build("a builder that went away", fault.New(fault.Failed, "it was tried 32 times; at last: modules cannot be fetched")),
	}
}

// witness knows what a program said last.
type witness struct{ last, warning string }

func (w witness) LastWords(context.Context, *corev1.Pod, string, bool) string { return w.last }
func (w witness) Warning(context.Context, *corev1.Pod, string, string) string { return w.warning }

func rollouts() []provoked {
	rollout := func(name string, status corev1.ContainerStatus, saw witness) provoked {
		pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "service", Image: "127.0.0.1:5001/shop@sha256:DIGEST",
			Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}}}}}
		status.Name = "service"
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{status}
		return provoked{name: name, args: []string{"shop"}, in: func(w *apitest.World) {
			w.Place = func(where string, _ release.Release) error {
				if where != "nyc3" {
					return nil
				}
				return fault.New(fault.Failed, "0 of 1 instances ready: %s", diagnosis.Of(context.Background(), pod, saw).Words())
			}
		}}
	}
	ended := func(code int32, reason string) corev1.ContainerStatus {
		return corev1.ContainerStatus{RestartCount: 2, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason}}}
	}
	waits := func(reason, message string) corev1.ContainerStatus {
		return corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
	}
	return []provoked{
		rollout("a program that ends", ended(3, "Error"), witness{last: "panic: \x1b[31mno database\x1b[0m"}),
		rollout("a program that ends by itself", ended(0, "Completed"), witness{}),
		rollout("a program that takes too much memory", ended(137, "OOMKilled"), witness{}),
		rollout("a program that cannot write", ended(1, "Error"), witness{last: "open /data/x: read-only file system"}),
		rollout("nothing listens", corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
			witness{warning: "Readiness probe failed: dial tcp 10.0.0.1:8080: connect: connection refused"}),
		rollout("an image that is not there", waits("ErrImagePull", "example.com/shop:1: not found"), witness{}),
	}
}

func successes() []provoked {
	return []provoked{
		{name: "a release that is ready", args: []string{"shop"}},
		{name: "a release that is not waited for", args: []string{"-d", "shop"}},
		{name: "an image", args: []string{"--image", "example.com/shop:1", "--name", "shop"}},
	}
}
