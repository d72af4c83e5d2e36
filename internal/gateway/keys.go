package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/m3o/platform/internal/ticket"
)

// How the file of keys is read. It is looked at again and again rather than watched, since a mounted ConfigMap changes by a
// link that is replaced.
const (
	keysEvery = 2 * time.Second
	keysLimit = 64 << 10
)

func readKeys(path string) ([]byte, ticket.Keys, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("open the keys that tickets are checked with: %w", err)
	}
	defer file.Close()
	body, err := io.ReadAll(io.LimitReader(file, keysLimit+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", path, err)
	}
	keys, err := ticket.ParseDocument(body)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return body, keys, nil
}

// followKeys takes over new keys when the file changes. A file that is gone or broken changes nothing.
func (g *Gateway) followKeys(ctx context.Context) error {
	ticker := time.NewTicker(keysEvery)
	defer ticker.Stop()
	last, complaint := g.keys, ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		body, keys, err := readKeys(g.config.Keys)
		switch {
		case err != nil && err.Error() != complaint:
			complaint = err.Error()
			g.config.Logger.WarnContext(ctx, "the keys stay as they are", "error", complaint)
		case err == nil && !bytes.Equal(body, last):
			g.verifier.SetKeys(keys)
			last, complaint = body, ""
			g.config.Logger.InfoContext(ctx, "the keys that tickets are checked with have changed", "keys", len(keys))
		}
	}
}
