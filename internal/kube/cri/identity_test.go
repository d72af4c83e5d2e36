package cri_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestUsers(t *testing.T) {
	n := startNode(t)
	p := n.pod("users")
	image := n.probe()
	asAda := n.pull(n.push("ada", v1.Config{Entrypoint: []string{"/bin/probe"}, User: "ada", WorkingDir: "/work/here"}, baseLayer(t)))
	asPair := n.pull(n.push("pair", v1.Config{Entrypoint: []string{"/bin/probe"}, User: "65532:engines"}, baseLayer(t)))
	for name, try := range map[string]struct {
		image  string
		change change
		want   string
	}{
		"root":    {image, args("id"), "uid=0 gid=0 pid=1 host=users home=/root cwd=/"},
		"number":  {image, asUser(65532, 65532), "uid=65532 gid=65532 pid=1 host=users home=/ cwd=/"},
		"ada":     {asAda, args("id"), "uid=1815 gid=1852 pid=1 host=users home=/home/ada cwd=/work/here"},
		"pair":    {asPair, args("id"), "uid=65532 gid=1837 pid=1 host=users home=/ cwd=/"},
		"over":    {asPair, asUser(1815, 7), "uid=1815 gid=7 pid=1 host=users home=/home/ada cwd=/"},
		"group":   {image, asUser(0, 5), "uid=0 gid=5 pid=1 host=users home=/root cwd=/"},
		"by name": {image, func(c *runtimeapi.ContainerConfig) { security(c).RunAsUsername = "ada" }, "uid=1815 gid=1852 pid=1 host=users home=/home/ada cwd=/"},
	} {
		c := p.run(strings.ReplaceAll(name, " ", "-"), try.image, try.change, args("id"))
		if got := strings.TrimSpace(c.output()); got != try.want {
			t.Errorf("%s: %s, not %s", name, got, try.want)
		}
	}
}

func TestPlainUserWritesVolumes(t *testing.T) {
	n := startNode(t)
	p, image, volume := n.pod("writes"), n.probe(), t.TempDir()
	mount := withMount(&runtimeapi.Mount{HostPath: volume, ContainerPath: "/data"})
	if got := p.run("writer", image, asUser(65532, 65532), mount, args("write", "/data/file", "kept")).wait(); got.GetExitCode() != 0 {
		t.Fatalf("the writer ended with %v", got)
	}
	if raw, err := os.ReadFile(filepath.Join(volume, "file")); err != nil || string(raw) != "kept" {
		t.Errorf("on the node: %q, %v", raw, err)
	}
	if got := p.run("reader", image, asUser(1000, 1000), mount, args("stat", "/data/file")).output(); !strings.Contains(got, "uid 1000 gid 1000") {
		t.Errorf("another user sees %s", got)
	}
}

func TestCapabilities(t *testing.T) {
	n := startNode(t)
	p, image := n.pod("caps"), n.probe()
	read := func(name string, changes ...change) map[string]string {
		fields := map[string]string{}
		for line := range strings.Lines(p.run(name, image, append(changes, args("status"))...).output()) {
			key, value, _ := strings.Cut(line, ":")
			fields[key] = strings.TrimSpace(value)
		}
		return fields
	}
	drop := func(c *runtimeapi.ContainerConfig) {
		security(c).Capabilities = &runtimeapi.Capability{DropCapabilities: []string{"ALL"}, AddCapabilities: []string{"NET_BIND_SERVICE"}}
		security(c).NoNewPrivs = true
	}
	const usual = "00000000a80425fb"
	if got := read("root"); got["CapEff"] != usual || got["CapBnd"] != usual || got["NoNewPrivs"] != "0" || got["Umask"] != "0022" {
		t.Errorf("root: %v", got)
	}
	if got := read("dropped", drop); got["CapEff"] != "0000000000000400" || got["CapBnd"] != "0000000000000400" || got["NoNewPrivs"] != "1" {
		t.Errorf("root with all but one dropped: %v", got)
	}
	if got := read("plain", asUser(65532, 65532)); got["CapEff"] != "0000000000000000" || got["CapAmb"] != "0000000000000000" || got["CapBnd"] != usual {
		t.Errorf("a plain user: %v", got)
	}
	ambient := func(c *runtimeapi.ContainerConfig) {
		security(c).Capabilities = &runtimeapi.Capability{AddAmbientCapabilities: []string{"CAP_KILL"}}
	}
	if got := read("ambient", asUser(65532, 65532), ambient); got["CapEff"] != "0000000000000020" {
		t.Errorf("a plain user with an ambient capability: %v", got)
	}
	for name, who := range map[string]change{"mount-root": args(), "mount-plain": asUser(65532, 65532)} {
		if got := p.run(name, image, who, args("mount")).wait(); got.GetExitCode() == 0 {
			t.Errorf("%s: a container may mount", name)
		}
	}
	if got := p.run("mknod", image, args("mknod")).wait(); got.GetExitCode() == 0 {
		t.Error("a container may make devices")
	}
}

func TestEnvironment(t *testing.T) {
	n := startNode(t)
	image := n.pull(n.push("env", v1.Config{Entrypoint: []string{"/bin/probe"}, Cmd: []string{"env"}, Env: []string{"A=image", "B=image"}}, baseLayer(t)))
	c := n.pod("env").run("main", image, func(c *runtimeapi.ContainerConfig) {
		c.Envs = []*runtimeapi.KeyValue{{Key: "B", Value: []byte("pod")}, {Key: "C", Value: []byte("x=y z")}}
	})
	want := "A=image\nB=pod\nC=x=y z\nHOME=/root\nHOSTNAME=env\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
	if got := c.output(); got != want {
		t.Errorf("environment:\n%s", got)
	}
	replaced := n.pod("replaced").run("main", image, func(c *runtimeapi.ContainerConfig) { c.Command = []string{"probe", "echo", "own command"} })
	if got := replaced.output(); got != "own command\n" {
		t.Errorf("a command of the pod's with the image's arguments left out: %q", got)
	}
}
