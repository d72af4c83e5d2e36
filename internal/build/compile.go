package build

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/m3o/platform/internal/fault"
)

// compile makes the program and returns its path.
func (b *Builder) compile(ctx context.Context, in Input, w *work, c caches, log io.Writer) (string, error) {
	args := append([]string{"build"}, goFlags(in.Build)...)
	args = append(args, "-o", outMark+"/app", ".")
	if err := b.runGo(ctx, w, c, in.Package, args, log); err != nil {
		return "", err
	}
	program := filepath.Join(w.private, "out", "app")
	info, err := os.Lstat(program)
	if err != nil || !info.Mode().IsRegular() {
		return "", fault.New(fault.Failed, "the build made no program")
	}
	if info.Size() > b.config.Limits.Program {
		return "", fault.New(fault.Failed, "the program has %d bytes, more than %d", info.Size(), b.config.Limits.Program)
	}
	return program, nil
}

// Marks in arguments and settings, which stand for the folders of a build and the address of the module proxy until it
// is known where they are: the jail has paths of its own.
const (
	outMark     = "{out}"
	sourceMark  = "{source}"
	privateMark = "{private}"
	gorootMark  = "{goroot}"
	buildMark   = "{build}"
	modulesMark = "{modules}"
	proxyMark   = "{proxy}"
)

// job is one run of the go command.
type job struct {
	args    []string
	dir     string
	env     []string
	folders folders
}

// folders are the real places behind the marks.
type folders struct{ source, private, goroot, build, modules string }

func (f folders) replacer(proxy string) *strings.Replacer {
	return strings.NewReplacer(outMark, f.private+"/out", sourceMark, f.source, privateMark, f.private, gorootMark, f.goroot,
		buildMark, f.build, modulesMark, f.modules, proxyMark, proxy)
}

// resolved puts what the marks stand for in their place. A source's paths are not part of the strings, but for the
// package, which cannot hold a brace; arguments that do not begin with a mark are as they are, for they may hold what users set.
func (j job) resolved(f folders, proxy string) job {
	r := f.replacer(proxy)
	out := job{dir: r.Replace(j.dir), folders: j.folders}
	for _, a := range j.args {
		if strings.HasPrefix(a, "{") {
			a = r.Replace(a)
		}
		out.args = append(out.args, a)
	}
	for _, e := range j.env {
		out.env = append(out.env, r.Replace(e))
	}
	return out
}

// settings is the whole environment of the go command.
func (b *Builder) settings(workspace string) []string {
	return []string{
		"PATH=" + gorootMark + "/bin", "HOME=" + privateMark + "/home", "TMPDIR=" + privateMark + "/tmp", "LANG=C.UTF-8",
		"GOROOT=" + gorootMark, "GOPATH=" + privateMark + "/home/go", "GOMODCACHE=" + modulesMark, "GOCACHE=" + buildMark,
		"GOTMPDIR=" + privateMark + "/tmp", "GOENV=off", "GOTOOLCHAIN=local", "GO111MODULE=on", "GOWORK=" + workspace,
		"GOFLAGS=-modcacherw", "GOVCS=*:off", "GOPROXY=" + proxyMark, "GOSUMDB=" + b.config.Modules.SumDB,
		"GONOSUMDB=" + b.config.Modules.NoSumDB, "GOOS=linux", "GOARCH=" + b.config.Arch, "GOAMD64=v1", "GOARM64=v8.0",
		"CGO_ENABLED=0", fmt.Sprintf("GOMEMLIMIT=%d", b.config.Limits.Memory/2),
	}
}

// goWork is the go.work in force, which the go command would look for above the source too.
func (w *work) goWork() string {
	if w.workspace == "" {
		return "off"
	}
	return sourceMark + "/" + w.workspace
}

// runGo runs the go command in the package's folder, so that a module nested in the source is found too.
func (b *Builder) runGo(ctx context.Context, w *work, c caches, pkg string, args []string, log io.Writer) error {
	j := job{
		args: append([]string{gorootMark + "/bin/go"}, args...), dir: path.Join(sourceMark, pkg), env: b.settings(w.goWork()),
		folders: folders{source: w.source, private: w.private, goroot: b.config.GoRoot, build: c.build, modules: c.modules},
	}
	if err := w.handOver(); err != nil {
		return err
	}
	proxy, err := newModuleProxy(b.config.Modules, b.config.Limits.Download)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := &output{log: log}
	err = errors.Join(b.start(ctx, j, proxy, out, cancel), out.end())
	if err == nil {
		return nil
	}
	return b.verdict(ctx, err, proxy, out)
}

// stopped says why what runs under the context ends: the limit that it reached, in its own words. Whoever else ended it knows why, and it
// was canceled.
func stopped(ctx context.Context) error {
	var known *fault.Error
	if cause := context.Cause(ctx); errors.As(cause, &known) {
		return cause
	}
	return context.Canceled
}

// verdict says why the go command did not end well.
func (b *Builder) verdict(ctx context.Context, err error, proxy *moduleProxy, out *output) error {
	if ctx.Err() != nil {
		return stopped(ctx)
	}
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	if refused := proxy.refusal(out.said()); refused != nil {
		return refused
	}
	if broken := proxy.failure(); errors.As(broken, &known) {
		return broken
	} else if broken != nil {
		return fault.Wrap(fault.Unavailable, broken, "modules cannot be fetched: %s", broken)
	}
	if said := out.summary(); said != "" {
		doesNot := fault.New(fault.Failed, "%s", causeOf(said))
		doesNot.Output = said
		return doesNot
	}
	return fault.Wrap(fault.Failed, err, "the go command failed and said nothing")
}

// causeOf is why the go command refuses a source, by its own words, and what helps.
func causeOf(said string) string {
	for _, c := range []struct{ says, cause string }{
		{"missing go.sum entry", "go.sum lacks modules that the source imports: run `go mod tidy`"},
		{"updates to go.mod needed", "go.mod lacks modules that the source imports: run `go mod tidy`"},
		{"no required module provides package", "go.mod lacks modules that the source imports: run `go mod tidy`"},
		{"inconsistent vendoring", "the vendor folder is not what go.mod says: run `go mod vendor`"},
		{"checksum mismatch", "a module is not the one that go.sum names: somebody changed it, or go.sum is wrong"},
	} {
		if strings.Contains(said, c.says) {
			return c.cause
		}
	}
	return "the source does not compile"
}

// output passes what the go command says on to the log, line by line, and keeps the beginning of it for the error. Where things lie in a
// build, and the address that hands out modules, mean nothing to readers.
type output struct {
	hidden *regexp.Regexp // nil hides nothing
	source string         // what is called the source

	mu   sync.Mutex
	log  io.Writer
	head bytes.Buffer
	rest []byte // a line that is not complete
}

const (
	maxHead  = 64 << 10
	maxLines = 12
	maxLine  = 400
)

// hide leaves out where a build's folders are, from now on: the go command names them absolute or relative to where it runs.
func (o *output) hide(f folders) {
	var alternatives []string
	for _, folder := range []string{f.source, f.modules} {
		alternatives = append(alternatives, `(?:(?:\.\./)+|\B/)`+regexp.QuoteMeta(strings.TrimPrefix(folder, "/"))+"/")
	}
	o.source = f.source
	o.hidden = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+/|` + strings.Join(alternatives, "|"))
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rest = append(o.rest, p...)
	end := bytes.LastIndexByte(o.rest, '\n') + 1
	if end == 0 && len(o.rest) > maxHead {
		end = len(o.rest)
	}
	if err := o.pass(o.rest[:end]); err != nil {
		return 0, err
	}
	o.rest = slices.Delete(o.rest, 0, end)
	return len(p), nil
}

// end passes on a last line without an end.
func (o *output) end() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := o.pass(o.rest)
	o.rest = nil
	return err
}

func (o *output) pass(lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	if o.hidden != nil {
		lines = o.hidden.ReplaceAllLiteral(lines, nil)
		lines = bytes.ReplaceAll(lines, []byte(" "+o.source+":"), []byte(" the source:"))
	}
	if room := maxHead - o.head.Len(); room > 0 {
		o.head.Write(lines[:min(len(lines), room)])
	}
	_, err := o.log.Write(lines)
	return err
}

// said is the beginning of what the go command said.
func (o *output) said() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.head.String()
}

// summary is the first lines that say something: the headings of packages and the names of fetched modules do not.
func (o *output) summary() string {
	var lines []string
	scanner := bufio.NewScanner(strings.NewReader(o.said()))
	scanner.Buffer(nil, maxHead+1)
	for scanner.Scan() {
		line := scanner.Text()
		if strings.HasPrefix(line, "# ") || strings.HasPrefix(line, "go: downloading ") || line == "" {
			continue
		}
		if len(lines) == maxLines {
			lines = append(lines, "…")
			break
		}
		lines = append(lines, strings.ToValidUTF8(line[:min(len(line), maxLine)], "?"))
	}
	return strings.Join(lines, "\n")
}
