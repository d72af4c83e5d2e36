package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/fault"
)

func loginCommand() *cobra.Command {
	var code, name string
	cmd := &cobra.Command{Use: "login [API]", Short: "Keep a token for an API, and use it from now on", GroupID: groupAccounts, Args: takes(0, 1), ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Keep a token for an API, and use it from now on. An invitation's code makes your first token; --token-file keeps one that you have.\n" +
			"Without either, a token that was kept before is used again, or the code is asked for. There are no passwords.\n\n" +
			"Commands take the API from --api, M3O_API, the data directory of a running `m3o dev`, or the last login, in this order. Tokens are kept\n" +
			"per address, in a file that only you can read, and are sent to that address alone.",
		Example: "  m3o login https://api.example.com --code -        # reads the code from standard input\n  m3o login https://api.example.com --token-file ci.token",
		RunE: func(cmd *cobra.Command, args []string) error {
			address, err := loginAddress(cmd, args)
			if err != nil {
				return err
			}
			l := login{cmd: cmd, api: address, name: name}
			switch tokenFile := flagOr(cmd, flagTokenFile, ""); {
			case code != "" && tokenFile != "":
				return misuse("--code and --token-file: say one of them")
			case code != "":
				return l.byCode(code)
			case tokenFile != "":
				return l.byTokenFile(tokenFile)
			}
			return l.again()
		}}
	cmd.Flags().StringVar(&code, "code", "", "the code of an invitation; - reads it from standard input, so that no list of processes shows it")
	cmd.Flags().StringVar(&name, "name", defaultTokenName(), "name of the token that the code makes")
	return cmd
}

// defaultTokenName tells tokens of several machines apart.
func defaultTokenName() string {
	host, err := os.Hostname()
	if err != nil || (account.TokenSpec{Name: host, Life: account.TokenLife}).Validate() != nil {
		return "login"
	}
	return host
}

// loginAddress is the API that is named, else the one that commands would use, unless it was merely found.
func loginAddress(cmd *cobra.Command, args []string) (string, error) {
	if len(args) > 0 {
		return apiAddress(args[0])
	}
	address, found, err := findAPI(cmd, locate(cmd))
	switch {
	case err != nil:
		return "", err
	case found: // whoever made that folder is not to get the code
		return "", misuse("name the API: %s %s, for instance, which was found in a folder", cmd.CommandPath(), address)
	}
	return address, nil
}

// login is one run of the command.
type login struct {
	cmd       *cobra.Command
	api, name string
}

func (l login) byCode(code string) error {
	if code == "-" {
		line, err := bufio.NewReader(io.LimitReader(l.cmd.InOrStdin(), 1<<10)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the code: %w", err)
		}
		code = line
	}
	code = strings.TrimSpace(code)
	if err := account.CheckSecret(code, account.InviteCode); err != nil {
		return misuse("--code: %s", fault.Message(err))
	}
	contexts, err := readContexts() // a file that cannot be written to is found before the code is used
	if err != nil {
		return err
	}
	if err := contexts.save(); err != nil {
		return err
	}
	made, err := (&client.Client{Base: l.api}).Login(l.cmd.Context(), code, l.name)
	if fault.Is(err, fault.Unavailable) {
		return fmt.Errorf("%w. If it was the answer that was lost, the code is used: ask for a new invitation", err)
	}
	if err != nil {
		return err
	}
	return l.keep(contexts, made.Secret, true)
}

func (l login) byTokenFile(path string) error {
	token, err := readTokenFile(path)
	if err != nil {
		return err
	}
	contexts, err := readContexts()
	if err != nil {
		return err
	}
	return l.keep(contexts, token, false)
}

// again uses a token that was kept before, or asks for a code where somebody can be asked.
func (l login) again() error {
	contexts, err := readContexts()
	if err != nil {
		return err
	}
	if had := contexts.of(l.api); had != nil {
		return l.keep(contexts, had.Token, had.Made)
	}
	in := l.cmd.InOrStdin()
	if !onTerminal(in) {
		return misuse("nobody is logged in to %s: say --code CODE or --token-file FILE", l.api)
	}
	fmt.Fprintf(l.cmd.ErrOrStderr(), "Code of your invitation to %s (it is not shown): ", l.api)
	code, err := readHidden(in)
	fmt.Fprintln(l.cmd.ErrOrStderr())
	if err != nil {
		return fmt.Errorf("read the code: %w", err)
	}
	return l.byCode(cmp.Or(strings.TrimSpace(code), "nothing"))
}

// readHidden reads a line that is typed without being shown.
func readHidden(in io.Reader) (string, error) {
	if f, ok := in.(*os.File); ok {
		line, err := term.ReadPassword(int(f.Fd()))
		return string(line), err
	}
	line, err := bufio.NewReader(io.LimitReader(in, 1<<10)).ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return line, err
}

// keep asks the API whose token it is, and keeps it.
func (l login) keep(contexts *loginContexts, token string, made bool) error {
	next := loginContext{API: l.api, Token: token, Made: made}
	if made { // the code is used: the token must not be lost whatever happens now
		contexts.put(next)
		if err := contexts.save(); err != nil {
			return err
		}
	}
	who, err := (&client.Client{Base: l.api, Token: token}).WhoAmI(l.cmd.Context())
	if err != nil {
		return fmt.Errorf("%s: %w", l.api, err)
	}
	next.Subject = who.Subject
	contexts.put(next)
	if err := contexts.save(); err != nil {
		return err
	}
	if wantsJSON(l.cmd) {
		return printJSON(l.cmd.OutOrStdout(), map[string]any{"api": l.api, "subject": who.Subject, "token": who.Token, "warnings": who.Warnings})
	}
	fmt.Fprintf(l.cmd.OutOrStdout(), "Logged in to %s as %s with the token %s, which %s.\n", l.api, who.Subject, who.Token.Name, expiry(who.Token.ExpiresAt))
	warn(l.cmd.ErrOrStderr(), who.Warnings)
	return nil
}

// expiry says when a token ends.
func expiry(at time.Time) string {
	if at.IsZero() {
		return "does not expire"
	}
	return "expires on " + at.Local().Format(time.DateOnly)
}

func warn(w io.Writer, warnings []string) {
	for _, text := range warnings {
		fmt.Fprintln(w, "m3o: warning: "+printable(text))
	}
}

func logoutCommand() *cobra.Command {
	var local bool
	cmd := &cobra.Command{Use: "logout [API]", Short: "Forget the token for an API", GroupID: groupAccounts, Args: takes(0, 1), ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Forget the token for an API: the one named, else that of the last login. A token that `m3o login --code` made is revoked first; one that came\n" +
			"from a file stays good, and is only forgotten here.",
		RunE: func(cmd *cobra.Command, args []string) error {
			contexts, err := readContexts()
			if err != nil {
				return err
			}
			address := contexts.Current
			if len(args) > 0 {
				if address, err = apiAddress(args[0]); err != nil {
					return err
				}
			}
			had := contexts.of(address)
			if had == nil {
				return fault.New(fault.NotFound, "nobody is logged in to %s", cmp.Or(address, "any API"))
			}
			return logout(cmd, contexts, *had, local)
		}}
	cmd.Flags().BoolVar(&local, "local", false, "do not revoke the token, forget it here")
	return cmd
}

func logout(cmd *cobra.Command, contexts *loginContexts, had loginContext, local bool) error {
	revoked := had.Made && !local
	if revoked {
		err := (&client.Client{Base: had.API, Token: had.Token}).Logout(cmd.Context())
		if err != nil && !fault.Is(err, fault.Unauthenticated) { // it is not good any more: nothing to revoke
			return fmt.Errorf("the token is not revoked: %w. `m3o logout --local` forgets it here", err)
		}
	}
	contexts.forget(had.API)
	if err := contexts.save(); err != nil {
		return err
	}
	if wantsJSON(cmd) {
		return printJSON(cmd.OutOrStdout(), map[string]any{"api": had.API, "subject": had.Subject, "revoked": revoked})
	}
	what := "forgotten here; it stays good"
	if revoked {
		what = "revoked"
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "Logged out of %s: the token of %s is %s.\n", had.API, cmp.Or(had.Subject, "its user"), what)
	return err
}
