//go:build embedded

package engine

import (
	"fmt"
	"log/slog"

	"go.temporal.io/server/common/log/tag"
)

// logger passes the server's warnings and errors on to slog; what it says below that is of no use to our users.
type logger struct{ to *slog.Logger }

func (logger) Debug(string, ...tag.Tag) {}
func (logger) Info(string, ...tag.Tag)  {}

func (l logger) Warn(msg string, tags ...tag.Tag)   { l.to.Debug(msg, attributes(tags)...) }
func (l logger) Error(msg string, tags ...tag.Tag)  { l.to.Warn(msg, attributes(tags)...) }
func (l logger) DPanic(msg string, tags ...tag.Tag) { l.to.Error(msg, attributes(tags)...) }
func (l logger) Panic(msg string, tags ...tag.Tag) {
	l.to.Error(msg, attributes(tags)...)
	panic(msg)
}

func (l logger) Fatal(msg string, tags ...tag.Tag) {
	l.to.Error(msg, attributes(tags)...)
	panic("fatal: " + msg)
}

func attributes(tags []tag.Tag) []any {
	out := make([]any, 0, len(tags))
	for _, t := range tags {
		out = append(out, slog.String(t.Key(), fmt.Sprint(t.Value())))
	}
	return out
}

// quiet is for probing, whose failures are expected.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}
