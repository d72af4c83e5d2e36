// Prisoner runs in a build's jail in place of the go command, and tries what a build should not be able to do.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	switch os.Args[1] {
	case "look":
		look(os.Args[2], os.Args[3], os.Args[4], number(os.Args[5]))
	case "fork":
		fork(number(os.Args[2]))
	case "hold":
		hold(number(os.Args[2]), number(os.Args[3]))
	case "write":
		for i := range number(os.Args[2]) {
			if err := os.WriteFile(fmt.Sprintf("/private/tmp/%d", i), make([]byte, 1<<20), 0o600); err != nil {
				fmt.Println(err)
			}
		}
		time.Sleep(time.Minute)
	case "write-one":
		fmt.Println(os.WriteFile("/private/tmp/one", make([]byte, number(os.Args[2])<<20), 0o600))
	case "sleep":
		time.Sleep(time.Minute)
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

type report struct {
	Root         []string
	Env          []string
	PID, UID     int
	Interfaces   []string
	Capabilities [2]uint32
	NoNewPrivs   bool
	Failures     map[string]string
}

func look(secret, outside, abstract string, parent int) {
	r := report{Env: os.Environ(), PID: os.Getpid(), UID: os.Getuid(), Failures: map[string]string{}}
	entries, err := os.ReadDir("/")
	r.note("read the root", err)
	delete(r.Failures, "read the root")
	for _, e := range entries {
		r.Root = append(r.Root, e.Name())
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		panic(err)
	}
	for _, i := range interfaces {
		r.Interfaces = append(r.Interfaces, i.Name)
	}
	r.rights()
	r.files(secret)
	r.network(outside, abstract)
	r.system(parent)
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		panic(err)
	}
}

func (r *report) note(what string, err error) {
	r.Failures[what] = ""
	if err != nil {
		r.Failures[what] = err.Error()
	}
}

func (r *report) rights() {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		panic(err)
	}
	for _, d := range data {
		r.Capabilities[0] |= d.Effective
		r.Capabilities[1] |= d.Permitted
	}
	set, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	r.NoNewPrivs = err == nil && set == 1
}

func (r *report) files(secret string) {
	for _, name := range []string{secret, "/etc/passwd", "/root/.ssh/id_rsa", "/proc/self/environ", "/proc/1/root/etc/passwd", "/sys", "/var/run/docker.sock", "/source/../../.." + secret} {
		_, err := os.Stat(name)
		r.note("see "+name, err)
	}
	for what, name := range map[string]string{"the source": "/source/x", "the toolchain": runtimeRoot() + "/x", "the root": "/x", "devices": "/dev/x",
		"the work folder": "/private/tmp/x", "the caches": "/caches/build/x", "/dev/null": "/dev/null"} {
		r.note("write to "+what, os.WriteFile(name, []byte("x"), 0o600))
	}
}

func runtimeRoot() string { return os.Getenv("GOROOT") }

func (r *report) network(outside, abstract string) {
	for _, address := range []string{outside, "192.0.2.1:80", "8.8.8.8:53", "[2001:db8::1]:80"} {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		r.note("call "+address, err)
		if err == nil {
			conn.Close()
		}
	}
	_, err := net.Dial("unix", abstract)
	r.note("call an abstract socket", err)
	answer, err := http.Get(os.Getenv("GOPROXY") + "/example.com/dep/@v/list")
	if err == nil {
		var body []byte
		if body, err = io.ReadAll(answer.Body); err == nil && string(body) != "v1.0.0" {
			err = fmt.Errorf("the proxy says %s %q", answer.Status, body)
		}
	}
	r.note("ask the module proxy", err)
}

func (r *report) system(parent int) {
	r.note("mount", unix.Mount("x", "/private/tmp", "tmpfs", 0, ""))
	r.note("make the toolchain writable", unix.Mount("", runtimeRoot(), "", unix.MS_REMOUNT|unix.MS_BIND, ""))
	r.note("make a device", unix.Mknod("/private/tmp/device", unix.S_IFBLK|0o600, int(unix.Mkdev(8, 0))))
	r.note("leave the root", unix.Unmount("/", unix.MNT_DETACH))
	r.note("change the host name", unix.Sethostname([]byte("x")))
	r.note("raise a limit", syscall.Setrlimit(unix.RLIMIT_NPROC, &syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}))
	r.note("kill the builder", syscall.Kill(parent, 0))
	r.note("become another user", syscall.Setuid(1))
}

// fork starts copies of itself until it cannot, and tells how many there are.
func fork(most int) {
	started := 0
	var children []*exec.Cmd
	for range most {
		cmd := exec.Command("/source/prisoner", "sleep")
		if err := cmd.Start(); err != nil {
			if !strings.Contains(err.Error(), "resource temporarily unavailable") {
				fmt.Println(err)
			}
			break
		}
		started++
		children = append(children, cmd)
	}
	for _, c := range children {
		c.Process.Kill()
	}
	fmt.Println(started)
}

// hold takes memory, in several processes.
func hold(processes, megabytes int) {
	if processes > 1 {
		for range processes {
			cmd := exec.Command("/source/prisoner", "hold", "1", strconv.Itoa(megabytes))
			if err := cmd.Start(); err != nil {
				panic(err)
			}
		}
		time.Sleep(time.Minute)
	}
	memory := make([]byte, megabytes<<20)
	for i := 0; i < len(memory); i += 4096 {
		memory[i] = 1
	}
	time.Sleep(time.Minute)
	fmt.Println(len(memory))
}
