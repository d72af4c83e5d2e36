package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/fault"
)

// tokenOwner are the flags that say whose tokens are meant: the caller's own, if neither is given.
type tokenOwner struct{ user, serviceAccount string }

func (o *tokenOwner) bind(cmd *cobra.Command, ofUsers bool) {
	cmd.Flags().StringVar(&o.serviceAccount, "service-account", "", "of this service account of the project")
	if ofUsers {
		cmd.Flags().StringVar(&o.user, "user", "", "of this user (operators)")
		cmd.MarkFlagsMutuallyExclusive("user", "service-account")
	}
}

func (o *tokenOwner) of(s *session) (client.TokenOwner, error) {
	if o.serviceAccount == "" {
		return client.TokenOwner{User: o.user}, nil
	}
	project, err := s.project()
	return client.TokenOwner{Project: project, ServiceAccount: o.serviceAccount}, err
}

func tokenCommand() *cobra.Command {
	return noun("token", "Make, list and revoke tokens", tokenCreateCommand(), tokenListCommand(), tokenRevokeCommand())
}

func tokenCreateCommand() *cobra.Command {
	var owner tokenOwner
	var scopes []string
	var life time.Duration
	cmd := &cobra.Command{Use: "create NAME", Short: "Make a token of your own, or of a service account", Args: takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Make a token of your own, or of a service account. It is printed once, alone on standard output. It can do at most what its owner may do at\n" +
			"the time of each request; --scope and --project limit it further.",
		Example: "  m3o token create ci --scope services:* --project shop --expires 720h\n  m3o token create deploys --service-account ci --project shop > ci.token",
		RunE: action(func(s *session, args []string) error {
			spec := account.TokenSpec{Name: args[0], Scopes: scopes, Life: life}.WithDefaults()
			if err := spec.Validate(); err != nil {
				return misuse("%s", fault.Message(err))
			}
			of, err := owner.of(s)
			if err != nil {
				return err
			}
			request := client.TokenRequest{Name: args[0], Scopes: scopes, Life: life}
			if owner.serviceAccount == "" { // one of a service account is for its project anyhow
				request.Project = s.api.Project
			}
			made, err := s.api.CreateToken(s.ctx(), of, request)
			if err != nil {
				return err
			}
			if err := s.done(made, "%s", made.Secret); err != nil || s.json {
				return err
			}
			_, err = fmt.Fprintf(s.err, "This is shown once. The token %s %s.\n", made.Token.Name, expiry(made.Token.ExpiresAt))
			return err
		})}
	owner.bind(cmd, false)
	cmd.Flags().StringSliceVar(&scopes, "scope", nil, "what it may do at most: services:read, services:*, … (default: all that you may)")
	cmd.Flags().DurationVar(&life, "expires", 0, "how long it is good, such as 720h (default 90 days, at most a year)")
	return cmd
}

func tokenListCommand() *cobra.Command {
	var owner tokenOwner
	cmd := &cobra.Command{Use: "list", Short: "List tokens, without their secrets", Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(s *session, _ []string) error {
			of, err := owner.of(s)
			if err != nil {
				return err
			}
			tokens, err := s.api.Tokens(s.ctx(), of)
			if err != nil {
				return err
			}
			return rows(s, tokens, "There are no tokens.", []string{"name", "id", "scopes", "project", "made", "expires", "last used"}, func(t account.Token) []string {
				expires := "never"
				if !t.ExpiresAt.IsZero() {
					expires = t.ExpiresAt.Local().Format(time.DateOnly)
				}
				return []string{t.Name, t.ID, strings.Join(t.Scopes, " "), cmp.Or(t.Project, "every"), ago(t.CreatedAt), expires, ago(t.LastUsed)}
			})
		})}
	owner.bind(cmd, true)
	return cmd
}

func tokenRevokeCommand() *cobra.Command {
	var owner tokenOwner
	cmd := &cobra.Command{Use: "revoke NAME|ID", Short: "End a token at once", Args: takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(s *session, args []string) error {
			of, err := owner.of(s)
			if err != nil {
				return err
			}
			if err := s.api.RevokeToken(s.ctx(), of, args[0]); err != nil {
				return err
			}
			return s.done(map[string]string{"revoked": args[0]}, "Token %s is revoked.", args[0])
		})}
	owner.bind(cmd, true)
	return cmd
}
