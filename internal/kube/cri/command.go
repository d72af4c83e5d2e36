package cri

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/m3o/platform/internal/kube/cri/stage"
)

// command is what a container executes first.
type command = stage.Command

// makeCommand puts the pod's wishes over the image's.
func (c *container) makeCommand(image v1.Config) command {
	cmd := command{Dir: c.config.GetWorkingDir(), NoNewPrivileges: c.security().GetNoNewPrivs()}
	if cmd.Dir == "" {
		cmd.Dir = image.WorkingDir
	}
	cmd.Args = c.config.GetCommand()
	rest := c.config.GetArgs()
	if len(cmd.Args) == 0 {
		cmd.Args = image.Entrypoint
		if len(rest) == 0 {
			rest = image.Cmd
		}
	}
	cmd.Args = append(append([]string(nil), cmd.Args...), rest...)
	cmd.Env = c.makeEnv(image.Env)
	cmd.Capabilities, cmd.Ambient = capabilities(c.security().GetCapabilities())
	if !c.user.root() && c.user.UID != 0 {
		// A plain user's capabilities end with the execution, but for the
		// ambient ones, which count in the container's user namespace.
		cmd.Capabilities |= cmd.Ambient
	}
	return cmd
}

// makeEnv is the container's environment; the later wins.
func (c *container) makeEnv(image []string) []string {
	pairs := []string{"PATH=" + stage.DefaultPath, "HOME=" + c.user.Home}
	if host := c.box.config.GetHostname(); host != "" {
		pairs = append(pairs, "HOSTNAME="+host)
	}
	if c.config.GetTty() {
		pairs = append(pairs, "TERM=xterm")
	}
	pairs = append(pairs, image...)
	for _, e := range c.config.GetEnvs() {
		pairs = append(pairs, e.GetKey()+"="+string(e.GetValue()))
	}
	return lastOfEach(pairs)
}

func lastOfEach(pairs []string) []string {
	place := map[string]int{}
	var kept []string
	for _, pair := range pairs {
		key, _, _ := strings.Cut(pair, "=")
		if at, ok := place[key]; ok {
			kept[at] = pair
			continue
		}
		place[key] = len(kept)
		kept = append(kept, pair)
	}
	return kept
}

// capabilityNames are in the kernel's order.
var capabilityNames = strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
	LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
	SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
	AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF
	CHECKPOINT_RESTORE`)

// defaultCapabilities are what other runtimes leave to a container.
const defaultCapabilities = 1<<0 | 1<<1 | 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<13 | 1<<18 | 1<<27 | 1<<29 | 1<<31

// capabilities are the bounding set and the ambient set.
func capabilities(wish *runtimeapi.Capability) (bounding, ambient uint64) {
	bounding = defaultCapabilities
	add, drop, raise := capabilitySet(wish.GetAddCapabilities()), capabilitySet(wish.GetDropCapabilities()), capabilitySet(wish.GetAddAmbientCapabilities())
	if drop == capabilitySet([]string{"ALL"}) {
		return add | raise, raise
	}
	return (bounding | add | raise) &^ drop, raise &^ drop
}

func capabilitySet(names []string) uint64 {
	var set uint64
	for _, name := range names {
		name = strings.TrimPrefix(strings.ToUpper(name), "CAP_")
		for i, known := range capabilityNames {
			if name == known || name == "ALL" {
				set |= 1 << i
			}
		}
	}
	return set
}

// realtimeMin is the first real-time signal that programs may use.
const realtimeMin = 34

// stopSignal is how the container wants to be asked to end.
func (c *container) stopSignal() (syscall.Signal, error) {
	if wish := c.config.GetStopSignal(); wish != runtimeapi.Signal_SIGNAL_RUNTIME_DEFAULT {
		name := strings.TrimPrefix(wish.String(), "SIGNAL_")
		return parseSignal(strings.NewReplacer("PLUS", "+", "MINUS", "-").Replace(name))
	}
	return parseSignal(c.image.StopSignal)
}

// parseSignal understands numbers and names, with or without SIG.
func parseSignal(text string) (syscall.Signal, error) {
	if text == "" {
		return syscall.SIGTERM, nil
	}
	if number, err := strconv.Atoi(text); err == nil && number > 0 && number < 65 {
		return syscall.Signal(number), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(text), "SIG")
	if number := signalNumber("SIG" + name); number != 0 {
		return number, nil
	}
	for prefix, base := range map[string]int{"RTMIN": realtimeMin, "RTMAX": 64} {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		offset, err := strconv.Atoi(rest)
		if number := base + offset; (err == nil || rest == "") && number >= realtimeMin && number <= 64 {
			return syscall.Signal(number), nil
		}
	}
	return 0, fmt.Errorf("unknown stop signal %q", text)
}

// signalAliases are names that the system's table lacks.
var signalAliases = map[string]syscall.Signal{"SIGCLD": syscall.SIGCHLD, "SIGPOLL": syscall.SIGIO, "SIGIOT": syscall.SIGABRT}

func signalNumber(name string) syscall.Signal {
	if number := unix.SignalNum(name); number != 0 {
		return number
	}
	return signalAliases[name]
}
