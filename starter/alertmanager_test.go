//go:build embedded && (alertmanager || chaos || bench)

package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// alertmanager is Prometheus' Alertmanager in a process and a folder of its own. It sends to one webhook, with no wait for more of a group
// and a second between what it says of one.
type alertmanager struct {
	*process
	url string
}

// newAlertmanager starts one that groups by the labels and sends to the hook, until the test ends.
func newAlertmanager(t *testing.T, hook string, groupBy ...string) *alertmanager {
	t.Helper()
	program, err := alertmanagerProgram()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "alertmanager.yml")
	text := fmt.Sprintf("route: {receiver: hook, group_by: [%s], group_wait: 0s, group_interval: 1s, repeat_interval: 4h}\n"+
		"receivers:\n- name: hook\n  webhook_configs: [{url: %q, send_resolved: true}]\n", strings.Join(groupBy, ", "), hook)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// Left to itself it gossips with its like on all addresses, and serves its interface there.
	a := &alertmanager{url: "http://" + address, process: &process{name: "alertmanager", program: program, log: filepath.Join(dir, "log"),
		args: []string{"--config.file=" + config, "--storage.path=" + filepath.Join(dir, "data"), "--cluster.listen-address=", "--web.listen-address=" + address}}}
	if err := a.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.kill()
		if text, _ := os.ReadFile(a.log); t.Failed() {
			t.Logf("end of Alertmanager's log: %s", text[max(0, len(text)-2000):])
		}
	})
	for deadline := time.Now().Add(30 * time.Second); !a.ready(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("Alertmanager is not ready after half a minute")
		}
	}
	onLoopbackAlone(t, a.cmd.Process.Pid)
	return a
}

// alertmanagerProgram is Alertmanager's, by Debian's name of it.
func alertmanagerProgram() (string, error) {
	program, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		return "", fmt.Errorf("this needs Alertmanager (Debian: package prometheus-alertmanager; .ci/run unpacks it without its service): %w", err)
	}
	return program, nil
}

func (a *alertmanager) ready() bool {
	r, err := http.Get(a.url + "/-/ready")
	if err != nil {
		return false
	}
	_ = r.Body.Close()
	return r.StatusCode == http.StatusOK
}

// amAlert is an alert as Prometheus sends it.
type amAlert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations,omitempty"`
	StartsAt    *time.Time        `json:"startsAt,omitempty"`
	EndsAt      *time.Time        `json:"endsAt,omitempty"` // in the past: resolved
	Generator   string            `json:"generatorURL,omitempty"`
}

// post hands alerts to Alertmanager; without an error it has taken all of them.
func (a *alertmanager) post(client *http.Client, all ...amAlert) error {
	body, err := json.Marshal(all)
	if err != nil {
		return err
	}
	r, err := client.Post(a.url+"/api/v2/alerts", "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("Alertmanager: %s: %s", r.Status, text)
	}
	return err
}

// onLoopbackAlone fails the test if a process listens elsewhere than on the loopback.
func onLoopbackAlone(t *testing.T, pid int) {
	t.Helper()
	sockets := map[string]bool{}
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		target, _ := os.Readlink(file) // it may be closed by now
		if inode, found := strings.CutPrefix(target, "socket:["); found {
			sockets[strings.TrimSuffix(inode, "]")] = true
		}
	}
	listens := 0
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		text, err := os.ReadFile("/proc/net/" + table)
		if err != nil {
			continue // a machine without IPv6
		}
		for line := range strings.Lines(string(text)) {
			field := strings.Fields(line)
			unconnected := len(field) > 9 && (field[3] == "0A" || strings.HasPrefix(table, "udp"))
			if !unconnected || !sockets[field[9]] {
				continue
			}
			listens++
			if ip := procAddress(field[1]); !ip.IsLoopback() {
				t.Errorf("process %d listens on %s (%s)", pid, ip, table)
			}
		}
	}
	if listens == 0 {
		t.Errorf("process %d listens nowhere", pid)
	}
}

// procAddress reads an address of /proc/net: words of four bytes, each of them reversed.
func procAddress(text string) net.IP {
	host, _, _ := strings.Cut(text, ":")
	ip, err := hex.DecodeString(host)
	if err != nil {
		return nil
	}
	for word := range slices.Chunk(ip, 4) {
		slices.Reverse(word)
	}
	return ip
}

// amNotification is what Alertmanager posts to a webhook.
type amNotification struct {
	GroupKey    string            `json:"groupKey"`
	Status      string            `json:"status"`
	GroupLabels map[string]string `json:"groupLabels"`
	Alerts      []struct {
		Status string            `json:"status"`
		Labels map[string]string `json:"labels"`
	} `json:"alerts"`
}

// serveHook takes notifications until the test ends, and returns its URL.
func serveHook(t *testing.T, take func(amNotification)) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n amNotification
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		take(n)
	}))
	t.Cleanup(server.Close)
	return server.URL
}
