package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// manyPackages is how many are compiled before it is worth asking how many there are: an everyday build has fewer, and asking
// takes some seconds.
const manyPackages = 12

// compilation is one `go build`. What the go command says of packages (-v) and downloads is counted; all else is passed on.
type compilation struct {
	about  string // "m3o-kube: Kubernetes and etcd"
	dir    string
	args   []string // of go build
	screen *screen
	errors io.Writer

	mu        sync.Mutex
	began     time.Time
	seen      map[string]bool // packages that were begun
	last      string
	downloads int
	all       map[string]int64 // bytes of source by package, of those that were not compiled when they were counted; nil: not counted yet
	counting  sync.Once
}

// run builds, and returns the exit code of the go command. What was compiled before an interruption stays in Go's build cache.
func (c *compilation) run(ctx context.Context) int {
	c.began, c.seen = time.Now(), map[string]bool{}
	counting, stop := context.WithCancel(ctx)
	defer stop()
	reader, writer, err := os.Pipe()
	if err != nil {
		fmt.Fprintln(c.errors, "workshop:", err)
		return misused
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-v"}, c.args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, c.errors, writer
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(c.errors, "workshop:", err)
		return misused
	}
	writer.Close()
	var both sync.WaitGroup
	both.Go(func() { c.listen(counting, reader) })
	ticking, quiet := context.WithCancel(ctx)
	both.Go(func() { c.tick(ticking) })
	err = cmd.Wait()
	reader.SetReadDeadline(time.Now().Add(time.Second)) // a compiler that outlives the go command holds the other end
	quiet()
	both.Wait()
	return c.conclude(ctx, err)
}

// listen reads what the go command says.
func (c *compilation) listen(ctx context.Context, r io.Reader) {
	for lines := bufio.NewReader(r); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			fmt.Fprint(c.errors, line)
			return
		}
		line = strings.TrimSuffix(line, "\n")
		switch module, downloads := strings.CutPrefix(line, "go: downloading "); {
		case downloads:
			c.note(func() { c.downloads, c.last = c.downloads+1, module })
		case isPackage(line):
			c.note(func() { c.seen[line], c.last = true, line })
			if len(c.seen) == manyPackages {
				go c.counting.Do(func() { c.count(ctx) })
			}
		default:
			c.note(func() { c.screen.clear(); fmt.Fprintln(c.errors, line) })
		}
	}
}

// isPackage tells the path of a package from a message of a compiler or of the go command.
func isPackage(line string) bool {
	return line != "" && !strings.ContainsAny(line, " \t:#") && (strings.ContainsAny(line, "./") || line == strings.ToLower(line))
}

func (c *compilation) note(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// count asks which packages are not compiled yet, and how large they are. Without an answer there is no total, and that is all.
func (c *compilation) count(ctx context.Context) {
	list := exec.CommandContext(ctx, "go", append([]string{"list", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}\t{{.Dir}}\t{{join .GoFiles \"\\t\"}}{{end}}"}, listed(c.args)...)...)
	list.Dir = c.dir
	out, err := list.Output()
	if err != nil {
		return
	}
	all := map[string]int64{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if len(fields) < 3 {
			continue
		}
		for _, file := range fields[2:] {
			if info, err := os.Stat(filepath.Join(fields[1], file)); err == nil {
				all[fields[0]] += info.Size()
			}
		}
	}
	c.note(func() { c.all = all })
}

// listed are the arguments of a build that `go list` takes, too.
func listed(args []string) []string {
	var kept []string
	for i := 0; i < len(args); i++ {
		if slices.Contains([]string{"-o", "-ldflags"}, args[i]) {
			i++
			continue
		}
		kept = append(kept, args[i])
	}
	return kept
}

// tick shows how far it is, now and then.
func (c *compilation) tick(ctx context.Context) {
	ticker := time.NewTicker(c.screen.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.note(func() {
				if len(c.seen) > 0 || c.downloads > 0 {
					c.screen.show(c.about, c.progress())
				}
			})
		}
	}
}

// progress is how far it is: "412 of 1406 packages, 3m10s, about 7m left, k8s.io/api/core/v1".
func (c *compilation) progress() string {
	elapsed := time.Since(c.began)
	if len(c.seen) == 0 {
		return fmt.Sprintf("downloading modules, %d so far, %s, %s", c.downloads, rounded(elapsed), c.last)
	}
	count, total := strconv.Itoa(len(c.seen)), len(c.seen)
	var size, done int64
	for name, bytes := range c.all {
		size += bytes
		if c.seen[name] {
			done += bytes
		} else {
			total++
		}
	}
	if c.all != nil {
		count += " of " + strconv.Itoa(total)
	}
	noun := " packages"
	if total == 1 {
		noun = " package"
	}
	parts := []string{count + noun, rounded(elapsed)}
	switch {
	case c.all != nil && total == len(c.seen):
		parts = append(parts, "linking")
	case done > size/20 && elapsed > 10*time.Second:
		left := time.Duration(float64(elapsed) * float64(size-done) / float64(done))
		parts = append(parts, fmt.Sprintf("about %d min left", 1+int(left.Minutes())), c.last)
	default:
		parts = append(parts, c.last)
	}
	return strings.Join(parts, ", ")
}

// rounded is a duration as people say it.
func rounded(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// conclude says what came of it.
func (c *compilation) conclude(ctx context.Context, err error) int {
	c.screen.clear()
	name, _, _ := strings.Cut(c.about, ":")
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		fmt.Fprintf(c.errors, "%s is not built: stopped after %s and %d packages. What is compiled is kept in Go's build cache%s, and the same command goes on from there.\n",
			name, rounded(time.Since(c.began)), len(c.seen), at(c.dir))
		return interrupted
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		fmt.Fprintf(c.errors, "%s is not built: see above. What is compiled is kept.\n", name)
		return exit.ExitCode()
	case err != nil:
		fmt.Fprintf(c.errors, "%s is not built: %v\n", name, err)
		return misused
	}
	c.screen.say(fmt.Sprintf("%s is built (%s%s)", name, packages(len(c.seen)), rounded(time.Since(c.began))))
	return 0
}

func packages(n int) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "1 package compiled, "
	}
	return strconv.Itoa(n) + " packages compiled, "
}

// at says where Go's build cache is.
func at(dir string) string {
	cmd := exec.Command("go", "env", "GOCACHE")
	cmd.Dir = dir
	if out, err := cmd.Output(); err == nil {
		return " (" + strings.TrimSpace(string(out)) + ")"
	}
	return ""
}
