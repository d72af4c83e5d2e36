package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/store"
)

// operator sits at a machine that is to become part of a platform: everything is configured, and nothing is there.
func operator(t *testing.T) (dir string) {
	t.Helper()
	user(t)
	dir = t.TempDir()
	for name, value := range map[string]string{"M3O_STORE": "sqlite://" + filepath.Join(dir, "store.db"), "M3O_PAYLOAD_KEYS": filepath.Join(dir, "payload.keys"),
		"M3O_TICKET_KEY": filepath.Join(dir, "ticket.key"), "M3O_TICKET_PUBLIC_KEYS": filepath.Join(dir, "tickets.json"), "M3O_TEMPORAL": ""} {
		t.Setenv(name, value)
	}
	return dir
}

func contents(t *testing.T, dir string, names ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(data)
	}
	return all
}

func TestMigrateMakesWhatIsMissingAndKeepsIt(t *testing.T) {
	dir := operator(t)
	token := filepath.Join(dir, "admin.token")
	m3o("migrate", "--admin-token", token).must(t)
	made := contents(t, dir, "admin.token", "payload.keys", "ticket.key", "tickets.json")
	for name, mode := range map[string]os.FileMode{"admin.token": 0o600, "payload.keys": 0o600, "ticket.key": 0o600, "tickets.json": 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
		}
	}
	m3o("migrate", "--admin-token", token).must(t)
	for name, content := range contents(t, dir, "admin.token", "payload.keys", "ticket.key", "tickets.json") {
		if content != made[name] {
			t.Errorf("%s was made anew", name)
		}
	}
	db, err := store.Open(t.Context(), "sqlite://"+filepath.Join(dir, "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	who, err := db.Principal(t.Context(), account.Hash(strings.TrimSpace(made["admin.token"])))
	if err != nil || !who.May(account.WriteRegions, "") || who.Project != "" {
		t.Errorf("the token stands for %+v, %v", who, err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "store.db"))
	if err != nil || strings.Contains(string(raw), strings.TrimSpace(made["admin.token"])) {
		t.Errorf("the database holds the token itself, or %v", err)
	}
	another := filepath.Join(dir, "another.token")
	m3o("migrate", "--admin-token", another).must(t).says(t, another+" lets nobody in by itself", "active operator already")
	if _, err := db.Principal(t.Context(), account.Hash(strings.TrimSpace(contents(t, dir, "another.token")["another.token"]))); err == nil {
		t.Error("another token was let in beside the first")
	}
	if _, err := db.Principal(t.Context(), account.Hash(strings.TrimSpace(made["admin.token"]))); err != nil {
		t.Errorf("the first token was replaced: %v", err)
	}
}

func TestMigrateSaysWhatIsWrong(t *testing.T) {
	dir := operator(t)
	m3o("migrate", "--retention", "1h").fails(t, exitMisused, "--retention", "24h")
	short := write(t, "short.token", "abc\n")
	m3o("migrate", "--admin-token", short).fails(t, exitFailed, "--admin-token", short)
	m3o("migrate").must(t).says(t, "M3O_TEMPORAL is not set")
	t.Setenv("M3O_TICKET_KEY", "")
	m3o("migrate").fails(t, exitMisused, "M3O_TICKET_KEY", "M3O_TICKET_PUBLIC_KEYS")
	t.Setenv("M3O_PAYLOAD_KEYS", write(t, "payload.keys", `{"current":"a","keys":{}}`))
	m3o("migrate").fails(t, exitFailed, "M3O_PAYLOAD_KEYS")
	t.Setenv("M3O_STORE", "")
	m3o("migrate").fails(t, exitMisused, "M3O_STORE")
	if _, err := os.Stat(filepath.Join(dir, "admin.token")); err == nil {
		t.Error("a token was made that nobody asked for")
	}
}

// A process that made a key of its own would sign what no gateway knows.
func TestKeysOfTicketsAreFoundNotMade(t *testing.T) {
	dir := t.TempDir()
	key, public := filepath.Join(dir, "ticket.key"), filepath.Join(dir, "tickets.json")
	for _, s := range []config.Settings{{}, {TicketKey: key, TicketKeys: public}} {
		if _, err := loadSigner(s); err == nil || !strings.Contains(err.Error(), "M3O_TICKET_KEY") || !strings.Contains(err.Error(), "m3o migrate") {
			t.Errorf("without a signing key: %v", err)
		}
		if _, err := loadTicketKeys(s); err == nil || !strings.Contains(err.Error(), "M3O_TICKET_PUBLIC_KEYS") || !strings.Contains(err.Error(), "m3o migrate") {
			t.Errorf("without public keys: %v", err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("made: %v, %v", left, err)
	}
	if err := makeKeys(config.Settings{TicketKey: key, TicketKeys: public}); err != nil {
		t.Fatal(err)
	}
	signer, err := loadSigner(config.Settings{TicketKey: key})
	if err != nil {
		t.Fatal(err)
	}
	if keys, err := loadTicketKeys(config.Settings{TicketKeys: public}); err != nil || string(keys) != string(signer.Document()) {
		t.Errorf("gateways are given %s, %v", keys, err)
	}
}

func TestProcessesSayTheirSettings(t *testing.T) {
	user(t)
	for command, words := range map[string][]string{"api": {"M3O_STORE", "M3O_TICKET_KEY ", "M3O_LISTEN", "M3O_TEMPORAL_UI"},
		"worker":  {"M3O_METRICS", "queue flows", "queue build", "M3O_REGISTRY_SECRET_FILE", "queue cloud-digitalocean", "M3O_TICKET_PUBLIC_KEYS"},
		"gateway": {"M3O_LOG_LEVEL", "--trusted-proxy"}, "migrate": {"M3O_PAYLOAD_KEYS", "--admin-token"}} {
		help := m3o(command, "--help").must(t).out
		for _, w := range words {
			if !strings.Contains(help, w) {
				t.Errorf("m3o %s --help does not say %s:\n%s", command, w, help)
			}
		}
	}
}
