package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/m3o/platform/internal/fault"
)

// endpointsFile is where a running sandbox says where it listens. It is left by a killed one.
func endpointsFile(dir string) string { return filepath.Join(dir, "endpoints.json") }

// findTimeout is for a sandbox on this machine to say that it is there.
const findTimeout = 5 * time.Second

// Find tells where the sandbox listens that runs on dir. If none does, the error says so.
func Find(ctx context.Context, dir string) (Endpoints, error) {
	var at Endpoints
	dir, err := filepath.Abs(dir)
	if err != nil {
		return at, err
	}
	none := fault.New(fault.NotFound, "no sandbox runs on %s: start it with `m3o dev`, or with `m3o sandbox --dir %s`", dir, dir)
	data, err := readStart(endpointsFile(dir), maxControlBody)
	if err != nil {
		return at, none
	}
	if err := json.Unmarshal(data, &at); err != nil {
		return at, fmt.Errorf("%s: %w", endpointsFile(dir), err)
	}
	if runs, err := at.runsOn(ctx, dir); err != nil || !runs {
		return Endpoints{}, none
	}
	return at, nil
}

// runsOn asks what listens there whether it is the sandbox of that directory.
func (e Endpoints) runsOn(ctx context.Context, dir string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.Control+"/healthz", nil)
	if err != nil {
		return false, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, err
	}
	defer answer.Body.Close()
	var health struct {
		Dir string `json:"dir"`
	}
	err = json.NewDecoder(io.LimitReader(answer.Body, maxControlBody)).Decode(&health)
	return health.Dir == dir, err
}

// readStart reads at most so many bytes of a file.
func readStart(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// Variables are the environment with which a provider's stock clients use the sandbox that runs on dir. They may hold the account's
// credentials, and name files, all of which are below dir.
func Variables(ctx context.Context, dir, provider string) (map[string]string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, p := range providers {
		if p.name != provider {
			names = append(names, p.name)
			continue
		}
		at, err := Find(ctx, dir)
		if err != nil {
			return nil, err
		}
		return p.environment(account{dir: dir, credentials: filepath.Join(dir, p.credentials), url: at.Providers[provider]})
	}
	return nil, fault.New(fault.Invalid, "provider %q is none of the sandbox's: %s", provider, strings.Join(names, ", "))
}
