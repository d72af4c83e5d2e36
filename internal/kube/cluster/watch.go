package cluster

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"time"
)

// The wanted state is looked at this often. Looking needs no more than a stat,
// and works on every file system, which file notifications do not.
const specPoll = 200 * time.Millisecond

// watchSpec sends the wanted state that is there, and then each time that another
// valid one is. An invalid one is logged once and the last valid one stays.
func watchSpec(ctx context.Context, path string, logger *slog.Logger) <-chan Spec {
	specs := make(chan Spec)
	w := specWatch{path: path, logger: logger}
	go func() {
		ticker := time.NewTicker(specPoll)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			spec, ok := w.next()
			if !ok {
				continue
			}
			select {
			case specs <- spec:
			case <-ctx.Done():
				return
			}
		}
	}()
	return specs
}

type specWatch struct {
	path   string
	logger *slog.Logger
	seen   os.FileInfo
	data   []byte
}

// read returns the file's content if it is another than at the last call.
func (w *specWatch) read() ([]byte, bool) {
	info, err := os.Stat(w.path)
	if err != nil {
		return nil, false
	}
	if w.seen != nil && os.SameFile(info, w.seen) && info.ModTime().Equal(w.seen.ModTime()) && info.Size() == w.seen.Size() {
		return nil, false
	}
	data, err := os.ReadFile(w.path)
	if err != nil || bytes.Equal(data, w.data) {
		return nil, false
	}
	w.seen, w.data = info, data
	return data, true
}

func (w *specWatch) next() (Spec, bool) {
	data, ok := w.read()
	if !ok {
		return Spec{}, false
	}
	spec, err := parseSpec(data)
	if err != nil {
		w.logger.Error("cluster: the new wanted state is not valid, keeping the old", "error", err)
		return Spec{}, false
	}
	return spec, true
}
