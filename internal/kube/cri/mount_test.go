package cri_test

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func (n *node) volume(files map[string]string) string {
	n.Helper()
	dir := n.TempDir()
	for name, body := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o644); err != nil {
			n.Fatal(err)
		}
	}
	return dir
}

func TestVolumes(t *testing.T) {
	n := startNode(t)
	p, image := n.pod("volumes"), n.probe()
	dir := n.volume(map[string]string{"a": "from the node"})
	inner := filepath.Join(dir, "inner")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("inner", inner, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(inner, unix.MNT_DETACH) })
	for who, user := range map[string]change{"root": args(), "plain": asUser(65532, 65532)} {
		c := p.run(who, image, user, args("sleep"),
			withMount(&runtimeapi.Mount{HostPath: dir, ContainerPath: "/rw"}),
			withMount(&runtimeapi.Mount{HostPath: dir, ContainerPath: "/ro", Readonly: true}),
			withMount(&runtimeapi.Mount{HostPath: dir, ContainerPath: "/rro", Readonly: true, RecursiveReadOnly: true}),
			withMount(&runtimeapi.Mount{HostPath: dir, ContainerPath: "/noexec", MountOptions: []string{"noexec", "nosuid"}}),
			withMount(&runtimeapi.Mount{HostPath: filepath.Join(dir, "a"), ContainerPath: "/deep/down/file", Readonly: true}),
		)
		for path, want := range map[string]bool{
			"/rw/new": true, "/rw/inner/new": true, "/ro/new": false, "/ro/inner/new": true, "/rro/new": false, "/rro/inner/new": false,
			"/deep/down/file": false, "/noexec/new": true,
		} {
			if out, code := c.exec("probe", "write", path, "x"); (code == 0) != want {
				t.Errorf("%s writes %s: %v %s", who, path, code == 0, out)
			}
		}
		if out, _ := c.exec("probe", "read", "/deep/down/file"); out != "from the node" {
			t.Errorf("%s reads %q", who, out)
		}
		if out, _ := c.exec("probe", "read", "/proc/self/mountinfo"); strings.Contains(out, " / "+n.root) || !strings.Contains(out, "/noexec rw,nosuid,noexec") {
			t.Errorf("%s sees the mounts\n%s", who, out)
		}
	}
}

func TestMountsAppearLater(t *testing.T) {
	n := startNode(t)
	p, image := n.pod("later"), n.probe()
	dir := t.TempDir()
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	if err := unix.Mount("", dir, "", unix.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	late := filepath.Join(dir, "late")
	if err := os.Mkdir(late, 0o755); err != nil {
		t.Fatal(err)
	}
	containers := map[string]*ctr{}
	for who, user := range map[string]change{"root": args(), "plain": asUser(65532, 65532)} {
		containers[who] = p.run(who, image, user, args("sleep"),
			withMount(&runtimeapi.Mount{HostPath: dir, ContainerPath: "/follows", Propagation: runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER}),
			withMount(&runtimeapi.Mount{HostPath: dir, ContainerPath: "/private"}))
	}
	if err := unix.Mount("late", late, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(late, unix.MNT_DETACH) })
	if err := os.WriteFile(filepath.Join(late, "here"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for who, c := range containers {
		if out, _ := c.exec("probe", "list", "/follows/late"); out != "here\n" {
			t.Errorf("%s: a mount that should follow shows %q", who, out)
		}
		if out, _ := c.exec("probe", "list", "/private/late"); out != "" {
			t.Errorf("%s: a private mount shows %q", who, out)
		}
	}
}

func TestReadOnlyRootAndHiddenPaths(t *testing.T) {
	n := startNode(t)
	p, image := n.pod("hidden"), n.probe()
	for who, user := range map[string]change{"root": args(), "plain": asUser(65532, 65532)} {
		c := p.run(who, image, user, args("sleep"), func(c *runtimeapi.ContainerConfig) {
			security(c).ReadonlyRootfs = true
			security(c).MaskedPaths = []string{"/proc/kcore", "/proc/scsi", "/etc/group", "/not/there"}
			security(c).ReadonlyPaths = []string{"/proc/sys", "/not/there"}
		}, withMount(&runtimeapi.Mount{HostPath: t.TempDir(), ContainerPath: "/data"}))
		for path, want := range map[string]bool{"/file": false, "/etc/passwd": false, "/data/file": true, "/dev/shm/file": true, "/dev/null": true, "/etc/hostname": false} {
			if out, code := c.exec("probe", "write", path, "x"); (code == 0) != want {
				t.Errorf("%s writes %s: %v %s", who, path, code == 0, out)
			}
		}
		if out, code := c.exec("probe", "read", "/etc/group"); out != "" || code != 0 {
			t.Errorf("%s reads a hidden file: %q, %d", who, out, code)
		}
		if out, code := c.exec("probe", "write", "/proc/sys/net/ipv4/ip_default_ttl", "9"); code == 0 || !strings.Contains(out, "read-only") {
			t.Errorf("%s writes kernel settings: %s", who, out)
		}
	}
}

// A link in the image leads to the image's files, never to the node's.
func TestLinksOfTheImageStayInside(t *testing.T) {
	n := startNode(t)
	outside := n.volume(map[string]string{"secret": "of the node"})
	image := n.pull(n.push("links", v1.Config{Entrypoint: []string{"/bin/probe"}}, baseLayer(t), layerOf(t,
		file{name: "var", kind: tar.TypeDir}, file{name: "run", kind: tar.TypeDir},
		file{name: "var/run", kind: tar.TypeSymlink, link: "/run"},
		file{name: "leads-out", kind: tar.TypeSymlink, link: outside},
		file{name: "etc/hosts", kind: tar.TypeSymlink, link: filepath.Join(outside, "secret")},
	)))
	hosts := filepath.Join(n.volume(map[string]string{"hosts": "127.0.0.1 me"}), "hosts")
	volume := n.volume(map[string]string{"token": "t"})
	c := n.pod("links").run("main", image, args("sleep"),
		withMount(&runtimeapi.Mount{HostPath: volume, ContainerPath: "/var/run/secrets"}),
		withMount(&runtimeapi.Mount{HostPath: volume, ContainerPath: "/leads-out/deeper"}),
		withMount(&runtimeapi.Mount{HostPath: hosts, ContainerPath: "/etc/hosts"}))
	for _, path := range []string{"/run/secrets/token", filepath.Join(outside, "deeper/token")} {
		if out, _ := c.exec("probe", "read", path); out != "t" {
			t.Errorf("%s: %q", path, out)
		}
	}
	if out, _ := c.exec("probe", "read", "/etc/hosts"); out != "127.0.0.1 me" {
		t.Errorf("hosts: %q", out)
	}
	if raw, err := os.ReadFile(filepath.Join(outside, "secret")); err != nil || string(raw) != "of the node" {
		t.Errorf("the node's file is %q, %v", raw, err)
	}
	if _, err := os.Stat(filepath.Join(outside, "deeper")); err == nil {
		t.Error("a mount point was made on the node")
	}
}

func TestKernelFoldersThatAreLinksAreRefused(t *testing.T) {
	n := startNode(t)
	image := n.pull(n.push("proclink", v1.Config{Entrypoint: []string{"/bin/probe"}}, baseLayer(t), layerOf(t, file{name: "proc", kind: tar.TypeSymlink, link: "/tmp"})))
	c, err := n.pod("proclink").create("main", image)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.start(); err == nil || !strings.Contains(err.Error(), "/proc") {
		t.Errorf("an image with a link for /proc: %v", err)
	}
}

func TestPodFiles(t *testing.T) {
	n := startNode(t)
	c := n.pod("files").run("main", n.probe(), args("sleep"))
	if out, _ := c.exec("probe", "read", "/etc/resolv.conf"); out != "search default.svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n" {
		t.Errorf("resolv.conf: %q", out)
	}
	if out, _ := c.exec("probe", "read", "/etc/hostname"); out != "files\n" {
		t.Errorf("hostname: %q", out)
	}
	if out, _ := c.exec("probe", "list", "/dev"); out != "fd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n" {
		t.Errorf("devices: %q", out)
	}
	if out, _ := c.exec("probe", "list", "/sys/class/net"); out != "lo\n" {
		t.Errorf("network devices: %q", out)
	}
}

func TestImageAsVolume(t *testing.T) {
	n := startNode(t)
	data := n.pull(n.push("data", v1.Config{}, layerOf(t, file{name: "sub/", kind: tar.TypeDir}, file{name: "sub/model", body: "weights"},
		file{name: "out", kind: tar.TypeSymlink, link: "/etc"})))
	p, image := n.pod("volume"), n.probe()
	c := p.run("main", image, args("sleep"),
		withMount(&runtimeapi.Mount{Image: &runtimeapi.ImageSpec{Image: data}, ContainerPath: "/all"}),
		withMount(&runtimeapi.Mount{Image: &runtimeapi.ImageSpec{Image: data}, ImageSubPath: "sub", ContainerPath: "/part"}))
	for _, path := range []string{"/all/sub/model", "/part/model"} {
		if out, _ := c.exec("probe", "read", path); out != "weights" {
			t.Errorf("%s: %q", path, out)
		}
		if _, code := c.exec("probe", "write", path, "x"); code == 0 {
			t.Errorf("%s can be written", path)
		}
	}
	for _, sub := range []string{"nothing", "out", "../../.."} {
		c, err := p.create("bad", image, withMount(&runtimeapi.Mount{Image: &runtimeapi.ImageSpec{Image: data}, ImageSubPath: sub, ContainerPath: "/part"}))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.start(); sub != "../../.." && err == nil {
			t.Errorf("the part %q of an image was mounted", sub)
		}
	}
	if _, err := n.images.RemoveImage(t.Context(), &runtimeapi.RemoveImageRequest{Image: &runtimeapi.ImageSpec{Image: data}}); err != nil {
		t.Fatal(err)
	}
	if out, _ := c.exec("probe", "read", "/all/sub/model"); out != "weights" {
		t.Errorf("after the image was removed under it, the volume has %q", out)
	}
}
