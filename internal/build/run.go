package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"time"

	"github.com/m3o/platform/internal/fault"
)

// errNoJail says that no jail can be made here.
var errNoJail = errors.New("no jail can be made")

// start runs the job in a jail, or without one where none can be made and that was allowed. kill ends the run with a
// reason.
func (b *Builder) start(ctx context.Context, j job, proxy *moduleProxy, out *output, kill context.CancelCauseFunc) error {
	err := b.confined(ctx, j, proxy, out, kill)
	if !errors.Is(err, errNoJail) {
		return err
	}
	if !b.config.AllowUnconfined {
		return refusal(err)
	}
	fmt.Fprintf(out.log, "no jail can be made here (%v): building without one, as was allowed\n", err)
	return b.unconfined(ctx, j, proxy, out, kill)
}

func refusal(err error) error {
	return fault.Wrap(fault.Failed, err, "sources are built in a user namespace, which this machine does not allow: "+
		"allow it (on Ubuntu: sysctl kernel.apparmor_restrict_unprivileged_userns=0; elsewhere user.max_user_namespaces), "+
		"deploy images with --image, or allow builds without a jail (m3o dev --unjailed; M3O_UNJAILED_ALLOW=yes for a worker)")
}

// CheckJail says whether builds can be confined here, by having the toolchain tell its version in a jail.
func (b *Builder) CheckJail(ctx context.Context) (err error) {
	w, err := b.newWork()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.remove()) }()
	proxy, err := newModuleProxy(b.config.Modules, b.config.Limits.Download)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := w.handOver(); err != nil {
		return err
	}
	j := job{args: []string{gorootMark + "/bin/go", "version"}, dir: sourceMark, env: b.settings("off"),
		folders: folders{source: w.source, private: w.private, goroot: b.config.GoRoot, build: w.private, modules: w.private}}
	if err := b.confined(ctx, j, proxy, &output{log: io.Discard}, cancel); err != nil {
		return refusal(err)
	}
	return nil
}

// serveModules answers the go command on the listener until stop is called.
func serveModules(listener net.Listener, proxy *moduleProxy) (stop func()) {
	server := &http.Server{Handler: proxy, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			proxy.fail(err)
		}
	}()
	return func() {
		if err := server.Close(); err != nil {
			proxy.fail(err)
		}
		<-done
	}
}

// unconfined runs the job as an ordinary child. The settings, the module proxy, the time and the watched limits hold.
func (b *Builder) unconfined(ctx context.Context, j job, proxy *moduleProxy, out *output, kill context.CancelCauseFunc) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("serve modules: %w", err)
	}
	defer serveModules(listener, proxy)()
	r := j.resolved(j.folders, "http://"+listener.Addr().String())
	out.hide(j.folders)
	cmd := exec.CommandContext(ctx, r.args[0], r.args[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = r.dir, r.env, out, out
	cmd.WaitDelay = 5 * time.Second
	asGroup(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start go command: %w", err)
	}
	defer b.watch(ctx, cmd.Process.Pid, j, kill)()
	return cmd.Wait()
}

const (
	memoryPause = 250 * time.Millisecond
	diskEvery   = 8 // looks at the memory for one at the disk
)

// watch ends the run when it takes more than its limits, until stop is called.
func (b *Builder) watch(ctx context.Context, pid int, j job, kill context.CancelCauseFunc) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(memoryPause)
		defer ticker.Stop()
		for i := 1; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if err := b.exceeded(pid, j, i%diskEvery == 0); err != nil {
				kill(err)
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

func (b *Builder) exceeded(pid int, j job, disk bool) error {
	limits := b.config.Limits
	if used := residentMemory(pid); used > limits.Memory {
		return fault.New(fault.Failed, "the build took more than %d MiB of memory", limits.Memory>>20)
	}
	if !disk {
		return nil
	}
	if folderSize(j.folders.private) > limits.Disk {
		return fault.New(fault.Failed, "the build wrote more than %d MiB", limits.Disk>>20)
	}
	if folderSize(j.folders.build)+folderSize(j.folders.modules) > limits.Cache+limits.Disk {
		return fault.New(fault.Failed, "the build filled its caches with more than %d MiB", limits.Cache>>20)
	}
	return nil
}
