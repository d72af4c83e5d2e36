package clusters

import (
	"encoding/json"
	"strings"
	"testing"
)

func FuzzParseStatus(f *testing.F) {
	f.Add([]byte(`{"pid":4711,"ready":true,"endpoint":"https://127.0.0.1:41234","version":"v1.34.0","nodes":[{"name":"a","ready":true}],"error":""}`))
	f.Add([]byte(`{"pid":-1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		status, err := parseStatus(data)
		if err == nil && (!json.Valid(data) || status.PID < 0) {
			t.Errorf("%q was read as %+v", data, status)
		}
	})
}

func FuzzIsClusterCommand(f *testing.F) {
	f.Add([]byte("/bin/m3o-kube\x00cluster\x00--dir\x00/d\x00"), "/d")
	f.Add([]byte("/bin/m3o-kube\x00cluster\x00--dir\x00/d/nodes/x\x00"), "/d")
	f.Add([]byte(""), "")
	f.Fuzz(func(t *testing.T, cmdline []byte, dir string) {
		if isClusterCommand(cmdline, dir) && !strings.Contains(string(cmdline), "\x00cluster\x00--dir\x00"+dir) {
			t.Errorf("%q was taken for the cluster of %q", cmdline, dir)
		}
	})
}

func TestIsClusterCommand(t *testing.T) {
	for cmdline, want := range map[string]bool{
		"/bin/m3o-kube\x00cluster\x00--dir\x00/d\x00":       true,
		"m3o-kube\x00node\x00--dir\x00/d\x00":               false,
		"/bin/m3o-kube\x00cluster\x00--dir\x00/d/other\x00": false,
		"/bin/m3o-kube\x00cluster\x00--dir\x00/d\x00-v\x00": false,
		"": false,
		"sh\x00-c\x00m3o-kube cluster --dir /d\x00":            false,
		"/proc/self/exe\x00cluster\x00--dir\x00/d\x00":         true,
		"/bin/m3o-kube\x00cluster\x00--dir\x00\x00":            false,
		"/bin/m3o-kube\x00cluster\x00--directory\x00/d\x00":    false,
		"/bin/m3o-kube\x00clusters\x00--dir\x00/d\x00":         false,
		"/bin/m3o-kube\x00cluster\x00--dir\x00/d\x00\x00":      false,
		"/bin/m3o-kube\x00cluster\x00--dir\x00/d\x00extra":     false,
		"/bin/m3o-kube\x00extra\x00cluster\x00--dir\x00/d\x00": false,
	} {
		if got := isClusterCommand([]byte(cmdline), "/d"); got != want {
			t.Errorf("%q: %v", cmdline, got)
		}
	}
}

func TestIsDead(t *testing.T) {
	for stat, want := range map[string]bool{"12 (m3o-kube) S 1 12": false, "12 (a) Z) R 1": false, "12 (m3o-kube) Z 1 12": true,
		"12 (m3o-kube) X 1": true, "": true, "12 (a)": true} {
		if got := isDead([]byte(stat)); got != want {
			t.Errorf("%q: %v", stat, got)
		}
	}
}

func TestPlacesDifferByDirectory(t *testing.T) {
	a, b := &Processes{dir: "/a"}, &Processes{dir: "/b"}
	seen := map[string]bool{}
	for _, place := range append(a.Places(), b.Places()...) {
		if seen[place] || !strings.HasPrefix(place, "127.") || !strings.HasSuffix(place, ".0/24") {
			t.Errorf("place %s", place)
		}
		seen[place] = true
	}
}

func TestAllReady(t *testing.T) {
	status := Status{Alive: true, Ready: true, Version: "v1.34.0", Nodes: map[string]bool{"a": true, "b": false}}
	for _, c := range []struct {
		version string
		nodes   []string
		want    bool
	}{{"1.34", []string{"a"}, true}, {"1.34", nil, true}, {"1.3", []string{"a"}, false}, {"1.35", []string{"a"}, false},
		{"1.34", []string{"a", "b"}, false}, {"1.34", []string{"c"}, false}} {
		if got := status.AllReady(c.version, c.nodes); got != c.want {
			t.Errorf("AllReady(%s, %v) is %v", c.version, c.nodes, got)
		}
	}
}
