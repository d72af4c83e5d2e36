package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/dev"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// The flags that every command takes.
const (
	flagAPI       = "api"
	flagTokenFile = "token-file"
	flagDataDir   = "data-dir"
	flagProject   = "project"
	flagJSON      = "json"
)

const (
	defaultAPI     = "http://127.0.0.1:8080"
	defaultDataDir = ".m3o"
)

func addClientFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.String(flagAPI, "", "address of the API (default: M3O_API, else the one of the data directory, else that of the last login, else "+defaultAPI+")")
	flags.String(flagTokenFile, "", "file with the token (default: M3O_TOKEN, else admin.token in a --data-dir, else what m3o login keeps for the API, else admin.token in the data directory that is found)")
	flags.String(flagDataDir, "", "data directory (default: M3O_DATA_DIR, else the nearest "+defaultDataDir+" upwards from here)")
	flags.String(flagProject, "", "project (default: M3O_PROJECT, else the token's own, else default)")
	flags.Bool(flagJSON, false, "print JSON")
	refuseUnknown(root)
}

// refuseUnknown makes a mistyped command a misuse that names what may have been meant.
func refuseUnknown(cmd *cobra.Command) {
	cmd.Args = cobra.ArbitraryArgs
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		text := fmt.Sprintf("there is no command %q", strings.TrimSpace(strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name())+" "+args[0]))
		if s := cmd.SuggestionsFor(args[0]); len(s) > 0 {
			text += fmt.Sprintf(" (did you mean %q?)", strings.Join(s, `" or "`))
		}
		return misuse("%s; see `%s --help`", text, cmd.CommandPath())
	}
}

func wantsJSON(cmd *cobra.Command) bool {
	on, err := cmd.Flags().GetBool(flagJSON)
	return err == nil && on
}

// flagOr is a flag that was given, else the setting.
func flagOr(cmd *cobra.Command, name, otherwise string) string {
	if value, err := cmd.Flags().GetString(name); err == nil && value != "" {
		return value
	}
	return otherwise
}

// placing is how a data directory came to be the command's.
type placing int

const (
	placeNone  placing = iota // there is none yet: the default, to be made here; nothing that lies there is read
	placeFound                // by walking upwards: whoever made the folder we are in may have made it
	placeNamed                // by flag or environment
)

// place is the data directory of a command.
type place struct {
	dir    string
	how    placing
	passed string // why a nearer folder of the name does not count
}

// locate finds the data directory: the one named, else the nearest one upwards, as git finds its own, else one to be made here. One
// that was not named counts only if it is ours alone: what was cloned or unpacked, or is another user's, would send us, token
// and source, to an API of theirs.
func locate(cmd *cobra.Command) place {
	if named := flagOr(cmd, flagDataDir, config.LoadClient().DataDir); named != "" {
		return place{dir: named, how: placeNamed}
	}
	none := place{dir: defaultDataDir}
	here, err := os.Getwd()
	if err != nil {
		return none
	}
	for dir := here; ; dir = filepath.Dir(dir) {
		candidate := filepath.Join(dir, defaultDataDir)
		info, err := os.Lstat(candidate)
		switch {
		case err != nil:
		case info.IsDir() && ownedByUs(info) && info.Mode().Perm()&0o077 == 0:
			return place{dir: candidate, how: placeFound, passed: none.passed}
		case none.passed == "":
			none.passed = fmt.Sprintf("%s is passed over: it is %s, and only a folder of yours with the mode 0700 counts", candidate, info.Mode())
		}
		if dir == filepath.Dir(dir) {
			return none
		}
	}
}

// ownDataDir is the data directory of a platform that runs here.
func ownDataDir(cmd *cobra.Command) (string, error) {
	p := locate(cmd)
	if _, err := os.Lstat(p.dir); err == nil && p.how == placeNone {
		return "", fault.New(fault.Denied, "%s. If you made it, `chmod 700 %s`; else name another with --data-dir", p.passed, p.dir)
	}
	return p.dir, nil
}

// findAPI is the address of the API, as contexts are kept by it, and whether it was merely found.
func findAPI(cmd *cobra.Command, p place) (address string, found bool, err error) {
	if address = flagOr(cmd, flagAPI, config.LoadClient().API); address == "" {
		contexts, err := readContexts()
		if err != nil {
			return "", false, err
		}
		address = cmp.Or(contexts.Current, defaultAPI)
		if data, err := os.ReadFile(dev.APIFile(p.dir)); err == nil && p.how != placeNone && len(strings.TrimSpace(string(data))) > 0 {
			address, found = strings.TrimSpace(string(data)), p.how == placeFound
		}
	}
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		return "", false, misuse("%q is not the address of an API, such as %s", address, defaultAPI)
	}
	if found && !onThisMachine(address) {
		return "", false, fault.New(fault.Denied, "the address %s was found in %s and is not on this machine: if it is what you mean, name it with M3O_API or --api", address, dev.APIFile(p.dir))
	}
	address, err = apiAddress(address)
	return address, found, err
}

// findToken is the token, and in words where it comes from. The token of a data directory that was not named is for the
// API on this machine alone, and one that was given is not for an API that was merely found, unless both are of one data directory.
func findToken(cmd *cobra.Command, p place, api string, found bool) (token, from string, err error) {
	settings := config.LoadClient()
	path := flagOr(cmd, flagTokenFile, "")
	given := path
	if path == "" && settings.Token != "" {
		given = "M3O_TOKEN"
	}
	if given == "" && p.how != placeNamed {
		contexts, err := readContexts()
		if err != nil {
			return "", "", err
		}
		if l := contexts.of(api); l != nil {
			return l.Token, "m3o login", nil
		}
	}
	switch {
	case given != "" && found && !within(p.dir, path):
		return "", "", fault.New(fault.Unauthenticated, "the token of %s is not sent to %s, an address that was found in %s: name the API with M3O_API or --api, or run `m3o login`",
			given, api, dev.APIFile(p.dir))
	case given != "" && path == "":
		return strings.TrimSpace(settings.Token), given, nil
	case path == "" && p.how == placeNone && p.passed != "":
		return "", "", fault.New(fault.Unauthenticated, "no token: %s. Name it with --data-dir, or log in with `m3o login`", p.passed)
	case path == "" && p.how != placeNamed && !onThisMachine(api):
		return "", "", fault.New(fault.Unauthenticated, "no token for %s: run `m3o login %s`, set M3O_TOKEN, or name a --token-file", api, api)
	case path == "":
		path = dev.TokenFile(p.dir)
	}
	token, err = readTokenFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", fault.New(fault.Unauthenticated, "no token: there is no %s. Start the platform with `m3o dev`, or log in with `m3o login`", path)
	}
	return token, path, err
}

// within says whether a file is in a directory, by its path.
func within(dir, file string) bool {
	dir, errDir := filepath.Abs(dir)
	file, errFile := filepath.Abs(file)
	return errDir == nil && errFile == nil && strings.HasPrefix(file, dir+string(filepath.Separator))
}

// readTokenFile reads a file that holds a token and nothing else.
func readTokenFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxTokenFile))
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" || len(data) == maxTokenFile || strings.ContainsAny(token, " \r\n\t") {
		return "", fault.New(fault.Unauthenticated, "%s does not hold a token", path)
	}
	return token, nil
}

// maxTokenFile is more than a file with a token has.
const maxTokenFile = 4 << 10

func onThisMachine(api string) bool {
	parsed, err := url.Parse(api)
	if err != nil {
		return false
	}
	host := parsed.Hostname()
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host).IsLoopback()
}

// session is one run of a command against the API.
type session struct {
	cmd       *cobra.Command
	api       *client.Client
	out, err  io.Writer
	json      bool
	verbose   bool // a build's log is shown as it comes, on a terminal too
	tokenFrom string
	again     string                // how to look at what is left behind on Ctrl-C
	changes   []release.Change      // of settings, by the release that was asked for
	sent      *sentSource           // with the release that was asked for
	notes     []string              // on how it was read
	shown     atomic.Pointer[board] // the board, while there is one
}

func (s *session) ctx() context.Context { return s.cmd.Context() }

// openSession finds the API and the token.
func openSession(cmd *cobra.Command) (*session, error) {
	at := locate(cmd)
	api, found, err := findAPI(cmd, at)
	if err != nil {
		return nil, err
	}
	token, from, err := findToken(cmd, at, api, found)
	if err != nil {
		return nil, err
	}
	project := flagOr(cmd, flagProject, config.LoadClient().Project)
	if project != "" && !region.IsLabel(project) {
		return nil, misuse("--project: %q %s", project, region.LabelRule)
	}
	s := &session{cmd: cmd, out: answers(cmd.OutOrStdout()), err: messages(cmd.ErrOrStderr()), json: wantsJSON(cmd), tokenFrom: from}
	s.api = &client.Client{Base: api, Token: token, Project: project, Waiting: s.waiting()}
	return s, nil
}

// project is the project that gateways are asked about.
func (s *session) project() (string, error) {
	if s.api.Project != "" {
		return s.api.Project, nil
	}
	who, err := s.api.WhoAmI(s.ctx())
	if err != nil {
		return "", err
	}
	return who.Home(), nil
}

// waiting says once in a while that the API does not answer.
func (s *session) waiting() func(client.Delay) {
	var mu sync.Mutex
	var said time.Time
	return func(d client.Delay) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(said) < 10*time.Second {
			return
		}
		said = time.Now()
		fmt.Fprintf(s.notices(), "m3o: %s; retrying for %s\n", fault.Message(d.Err), d.Left.Round(time.Second))
	}
}

// notices is where remarks go: above the board, while there is one.
func (s *session) notices() io.Writer {
	if b := s.shown.Load(); b != nil {
		return b
	}
	return s.err
}

// board begins to show how things come along, until it is closed.
func (s *session) board() (b *board, done func()) {
	b = newBoard(s.err)
	s.shown.Store(b)
	return b, func() {
		s.shown.Store(nil)
		b.close()
	}
}

// patient makes a command that waits for long work survive an API that is being started again, from its first request on.
func (s *session) patient() { s.api.FirstContact = 30 * time.Second }

// action is the body of a command that needs the API.
func action(do func(s *session, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		s, err := openSession(cmd)
		if err != nil {
			return err
		}
		return s.explain(do(s, args))
	}
}

// explain adds to an error what the user can do about it, and tells how to look again at what was left.
func (s *session) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case s.ctx().Err() != nil:
		if s.again != "" {
			fmt.Fprintf(s.err, "\nLeft; the work goes on. Look again with `%s`.\n", s.again)
		}
		return errShown
	case fault.Is(err, fault.Unauthenticated):
		return fault.New(fault.Unauthenticated, "%s (the token is from %s)", fault.Message(err), s.tokenFrom)
	case fault.Is(err, fault.Unavailable) && onThisMachine(s.api.Base) && strings.Contains(err.Error(), s.api.Base):
		return fmt.Errorf("%w. Start it with `m3o dev`", err)
	}
	return err
}

// completeNames offers names that the API knows, as long as it answers at once.
func completeNames(names func(context.Context, *client.Client) ([]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		s, err := openSession(cmd)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		s.api.FirstContact, s.api.Patience, s.api.Waiting = time.Nanosecond, time.Nanosecond, nil
		found, err := names(ctx, s.api)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		for i := range found { // shells show them
			found[i] = oneLine(found[i])
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

func regionNames(ctx context.Context, api *client.Client) ([]string, error) {
	regions, err := api.Regions(ctx, "")
	names := make([]string, len(regions))
	for i, r := range regions {
		names[i] = r.Name
	}
	return names, err
}

func serviceNames(ctx context.Context, api *client.Client) ([]string, error) {
	services, err := api.Services(ctx)
	names := make([]string, len(services))
	for i, v := range services {
		names[i] = v.Key.Name
	}
	return names, err
}

// completeFlag offers values for a flag, whatever arguments there are.
func completeFlag(cmd *cobra.Command, flag string, names func(context.Context, *client.Client) ([]string, error)) {
	complete := completeNames(names)
	_ = cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return complete(cmd, nil, typed)
	}) // fails only for a flag that does not exist
}

// takes checks the number of arguments, which are named in the command's usage line.
func takes(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return misuse("something is missing: %s", cmd.UseLine())
		case len(args) > most:
			return misuse("%q is one argument too many: %s", args[most], cmd.UseLine())
		}
		return nil
	}
}
