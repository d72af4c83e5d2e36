package main

import (
	"encoding/json"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/image"
)

func TestAnImageOfAProgramIsPushedOnce(t *testing.T) {
	dir := t.TempDir()
	registry, err := image.NewRegistry(filepath.Join(dir, "registry"), image.RegistryConfig{Password: "a-password"})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(registry)
	t.Cleanup(server.Close)
	user(t)
	program, err := exec.LookPath("true") // any program does, and this one is small
	if err != nil {
		t.Fatal(err)
	}
	m3o("image", "--program", program).fails(t, exitMisused, "M3O_REGISTRY must be set")
	t.Setenv("M3O_REGISTRY", strings.TrimPrefix(server.URL, "http://")+"/ours")
	m3o("image", "--program", program).fails(t, exitFailed, "this takes the registry's password")
	password := filepath.Join(dir, "password")
	write(t, password, "a-password")
	t.Setenv("M3O_REGISTRY_SECRET_FILE", password)
	m3o("image", "--program", filepath.Join(dir, "nothing")).fails(t, exitFailed, "no such file")
	write(t, filepath.Join(dir, "script"), "#!/bin/sh\n")
	m3o("image", "--program", filepath.Join(dir, "script")).fails(t, exitFailed, "is no program for linux")
	first := strings.TrimSpace(m3o("image", "--program", program).must(t).out)
	if !regexp.MustCompile(`^127\.0\.0\.1:\d+/ours/m3o@sha256:[0-9a-f]{64}$`).MatchString(first) {
		t.Errorf("the reference is %q", first)
	}
	var again struct{ Image string }
	if err := json.Unmarshal([]byte(m3o("image", "--program", program, "--json").must(t).out), &again); err != nil || again.Image != first {
		t.Errorf("the same program is %q the second time, %v", again.Image, err)
	}
}
