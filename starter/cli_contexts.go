package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/fault"
)

// loginContext is one API that somebody logged in to, and the token for it. The token is sent to that API alone.
type loginContext struct {
	API     string `json:"api"`
	Subject string `json:"subject"`
	Token   string `json:"token"`
	Made    bool   `json:"made"` // by `m3o login --code`: `m3o logout` revokes it
}

// loginContexts are all of them, one per address. Current names the one that commands use when nothing else says which API is meant.
type loginContexts struct {
	Current  string         `json:"current,omitempty"`
	Contexts []loginContext `json:"contexts"`

	path string
}

// maxContexts bounds the file of contexts.
const maxContexts = 1 << 20

// contextsFile is where they are kept.
func contextsFile() (string, error) {
	dir := config.LoadClient().ConfigDir
	if dir == "" {
		home, err := os.UserConfigDir()
		if err != nil {
			return "", fmt.Errorf("find the folder of settings: %w: set M3O_CONFIG_DIR", err)
		}
		dir = filepath.Join(home, "m3o")
	}
	return filepath.Join(dir, "contexts.json"), nil
}

// readContexts reads the file; that there is none is fine. One that others may read or write is not trusted.
func readContexts() (*loginContexts, error) {
	path, err := contextsFile()
	if err != nil {
		return nil, err
	}
	c := &loginContexts{path: path}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the contexts of m3o login: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the contexts of m3o login: %w", err)
	}
	if runtime.GOOS != "windows" && (info.Mode().Perm()&0o077 != 0 || !ownedByUs(info)) {
		return nil, fault.New(fault.Denied, "%s holds tokens, and others may read it or own it (mode %04o): make it yours alone with `chmod 600 %s`", path, info.Mode().Perm(), path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxContexts+1))
	if err != nil {
		return nil, fmt.Errorf("read the contexts of m3o login: %w", err)
	}
	if len(data) > maxContexts || json.Unmarshal(data, c) != nil {
		return nil, fault.New(fault.Invalid, "%s is not what m3o login writes: remove it, and log in again", path)
	}
	return c, nil
}

// save writes the file so that it is whole or as before, for us alone.
func (c *loginContexts) save() error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	dir := filepath.Dir(c.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("write the contexts of m3o login: %w", err)
	}
	f, err := os.CreateTemp(dir, ".contexts-*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("write the contexts of m3o login: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), c.path)
	}
	if err != nil {
		return fmt.Errorf("write the contexts of m3o login: %w", err)
	}
	return nil
}

// of is the context for an API, nil if nobody logged in to it.
func (c *loginContexts) of(api string) *loginContext {
	i := slices.IndexFunc(c.Contexts, func(l loginContext) bool { return l.API == api })
	if i < 0 {
		return nil
	}
	return &c.Contexts[i]
}

// put keeps a context, in place of one for the same API, and makes it current.
func (c *loginContexts) put(l loginContext) {
	c.forget(l.API)
	c.Contexts, c.Current = append(c.Contexts, l), l.API
}

// forget drops the context for an API.
func (c *loginContexts) forget(api string) {
	c.Contexts = slices.DeleteFunc(c.Contexts, func(l loginContext) bool { return l.API == api })
	if c.Current == api {
		c.Current = ""
	}
}

// apiAddress is the address of an API as contexts are kept by it: without a path, https unless it says otherwise. A token is never
// sent over a network in the clear.
func apiAddress(text string) (string, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", misuse("%.200q is not the address of an API, such as https://api.example.com", text)
	}
	address := u.Scheme + "://" + strings.ToLower(u.Host)
	if u.Scheme == "http" && !onThisMachine(address) {
		return "", misuse("%s: a token would cross the network in the clear; say https://", address)
	}
	return address, nil
}
