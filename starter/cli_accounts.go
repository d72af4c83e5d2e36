package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/fault"
)

// accountCommands are the commands about who may do what.
func accountCommands() []*cobra.Command {
	return []*cobra.Command{loginCommand(), logoutCommand(), whoamiCommand(), userCommand(), projectCommand(), roleCommand(), tokenCommand(), serviceAccountCommand(), auditCommand()}
}

// noun is a command that only groups others.
func noun(use, short string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, GroupID: groupAccounts}
	refuseUnknown(cmd)
	cmd.AddCommand(verbs...)
	return cmd
}

// done prints what came of a command that has nothing else to show.
func (s *session) done(value any, format string, args ...any) error {
	if s.json {
		return printJSON(s.out, value)
	}
	_, err := fmt.Fprintln(s.out, oneLine(fmt.Sprintf(format, args...)))
	return err
}

// rows prints a list, or where there is nothing a word about how to get there.
func rows[T any](s *session, items []T, empty string, heading []string, row func(T) []string) error {
	if s.json {
		return printJSON(s.out, items)
	}
	if len(items) == 0 {
		_, err := fmt.Fprintln(s.err, empty)
		return err
	}
	lines := make([][]string, len(items))
	for i, item := range items {
		lines[i] = row(item)
	}
	return table(s.out, heading, lines)
}

func roleNames(roles []account.Role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
	}
	return dash(strings.Join(names, ","))
}

func whoamiCommand() *cobra.Command {
	return &cobra.Command{Use: "whoami", Short: "Show who the token stands for, and what it may do", GroupID: groupAccounts, Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(s *session, _ []string) error {
			who, err := s.api.WhoAmI(s.ctx())
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(s.out, who)
			}
			facts := [][]string{{"subject", who.Subject}, {"kind", string(who.Kind)}, {"on the platform", roleNames(who.Platform)}}
			projects := make([]string, 0, len(who.Projects))
			for name := range who.Projects {
				projects = append(projects, name)
			}
			slices.Sort(projects)
			for _, name := range projects {
				facts = append(facts, []string{"in " + name, roleNames(who.Projects[name])})
			}
			facts = append(facts, []string{"token", who.Token.Name + ", which " + expiry(who.Token.ExpiresAt)}, []string{"its scopes", strings.Join(who.Scopes, " ")},
				[]string{"its project", cmp.Or(who.Project, "every one with a role")}, []string{"api", s.api.Base}, []string{"token from", s.tokenFrom})
			warn(s.err, who.Warnings)
			return table(s.out, nil, facts)
		})}
}

func userCommand() *cobra.Command {
	return noun("user", "Invite, list, suspend and remove people", userInviteCommand(), userListCommand(),
		userStandingCommand("suspend NAME", "Keep a user out: their tokens are refused at once", (*client.Client).SuspendUser),
		userStandingCommand("unsuspend NAME", "Let a suspended user in again", (*client.Client).UnsuspendUser), userRemoveCommand())
}

func userInviteCommand() *cobra.Command {
	var email string
	var again bool
	cmd := &cobra.Command{Use: "invite NAME", Short: "Make a user, and a one-time code to hand over", Args: takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Make a user, and a one-time code to hand over. The code is shown once; with it the user makes their first token (`m3o login API --code -`).\n" +
			"--again makes a new code for a user who lost theirs; the old one is void. A user who holds a token that is good needs none.", Example: "  m3o user invite ada --email ada@example.com",
		RunE: action(func(s *session, args []string) error {
			invite := func(ctx context.Context, name string) (account.Invitation, error) {
				return s.api.InviteUser(ctx, name, email)
			}
			if again {
				invite = s.api.InviteAgain
			}
			i, err := invite(s.ctx(), args[0])
			if err != nil {
				return err
			}
			if !s.json {
				fmt.Fprintf(s.err, "Hand this code to %s; it is shown once and is good until %s:\n", i.User.Name, i.ExpiresAt.Local().Format(time.DateTime))
			}
			if err := s.done(i, "%s", i.Code); err != nil || s.json {
				return err
			}
			_, err = fmt.Fprintf(s.err, "They run: m3o login %s --code -\nThen give them a role: m3o role grant developer %s --project default\n", s.api.Base, i.User.Name)
			return err
		})}
	cmd.Flags().StringVar(&email, "email", "", "their address")
	cmd.Flags().BoolVar(&again, "again", false, "a new code for a user who exists")
	cmd.MarkFlagsMutuallyExclusive("email", "again")
	return cmd
}

func userListCommand() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the people of the platform", Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(s *session, _ []string) error {
			users, err := s.api.Users(s.ctx())
			if err != nil {
				return err
			}
			return rows(s, users, "There are no users: invite one with `m3o user invite NAME`.", []string{"name", "status", "platform roles", "email", "since", "by"}, func(u account.User) []string {
				return []string{u.Name, string(u.Status), roleNames(u.Platform), dash(u.Email), ago(u.CreatedAt), dash(u.CreatedBy)}
			})
		})}
}

func userStandingCommand(use, short string, change func(*client.Client, context.Context, string) (account.User, error)) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: takes(1, 1), ValidArgsFunction: completeNames(userNames),
		RunE: action(func(s *session, args []string) error {
			u, err := change(s.api, s.ctx(), args[0])
			if err != nil {
				return err
			}
			return s.done(u, "User %s is %s.", u.Name, u.Status)
		})}
}

func userRemoveCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{Use: "remove NAME", Short: "Remove a user with their tokens and roles", Args: takes(1, 1), ValidArgsFunction: completeNames(userNames),
		RunE: action(func(s *session, args []string) error {
			if err := s.confirm(yes, fmt.Sprintf("Remove the user %s with all tokens and roles?", args[0])); err != nil {
				return err
			}
			if err := s.api.RemoveUser(s.ctx(), args[0]); err != nil {
				return err
			}
			return s.done(map[string]string{"removed": args[0]}, "User %s is removed.", args[0])
		})}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func userNames(ctx context.Context, api *client.Client) ([]string, error) {
	users, err := api.Users(ctx)
	names := make([]string, len(users))
	for i, u := range users {
		names[i] = u.Name
	}
	return names, err
}

func roleCommand() *cobra.Command {
	return noun("role", "Give and take roles in a project or on the platform",
		roleChangeCommand("grant", "Give a user a role", "has", (*client.Client).GrantRole),
		roleChangeCommand("revoke", "Take a role away", "no longer has", (*client.Client).RevokeRole), roleListCommand())
}

func roleChangeCommand(verb, short, now string, change func(*client.Client, context.Context, string, string, account.Role) error) *cobra.Command {
	cmd := &cobra.Command{Use: verb + " ROLE USER", Short: short, Args: takes(2, 2), ValidArgsFunction: cobra.NoFileCompletions,
		Long: short + ". Roles in a project (" + roleNames(account.ProjectRoles()) + ") are for --project, or the project that you are in;\n" +
			"roles on the platform (" + roleNames(account.PlatformRoles()) + ") hold in every project.",
		Example: "  m3o role " + verb + " developer ada --project shop\n  m3o role " + verb + " operator ada",
		RunE: action(func(s *session, args []string) error {
			role, user := account.Role(args[0]), args[1]
			project, err := s.roleProject(role)
			if err != nil {
				return err
			}
			if err := change(s.api, s.ctx(), project, user, role); err != nil {
				return err
			}
			where := "on the platform"
			if project != "" {
				where = "in the project " + project
			}
			return s.done(map[string]string{"user": user, "role": string(role), "project": project}, "%s %s the role %s %s.", user, now, role, where)
		})}
	return cmd
}

// roleProject is where a role is held: "" for one on the platform.
func (s *session) roleProject(role account.Role) (string, error) {
	switch {
	case slices.Contains(account.PlatformRoles(), role):
		if s.api.Project != "" && s.cmd.Flags().Changed(flagProject) {
			return "", misuse("--project: the role %s is held on the whole platform", role)
		}
		return "", nil
	case slices.Contains(account.ProjectRoles(), role):
		return s.project()
	}
	return "", misuse("%q is no role; there are %s in a project, and %s on the platform", role, roleNames(account.ProjectRoles()), roleNames(account.PlatformRoles()))
}

// roleView is a role and what it holds, as `m3o role list` shows it.
type roleView struct {
	Role        account.Role         `json:"role"`
	Where       string               `json:"where"` // project or platform
	Permissions []account.Permission `json:"permissions"`
}

func roleListCommand() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the roles, and what each may do", Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var views []roleView
			for _, r := range account.ProjectRoles() {
				views = append(views, roleView{r, "project", r.Permissions()})
			}
			for _, r := range account.PlatformRoles() {
				views = append(views, roleView{r, "platform", r.Permissions()})
			}
			s := &session{cmd: cmd, out: cmd.OutOrStdout(), err: cmd.ErrOrStderr(), json: wantsJSON(cmd)}
			return rows(s, views, "", []string{"role", "where", "may"}, func(v roleView) []string {
				names := make([]string, len(v.Permissions))
				for i, p := range v.Permissions {
					names[i] = string(p)
				}
				return []string{string(v.Role), v.Where, strings.Join(names, " ")}
			})
		}}
}

func serviceAccountCommand() *cobra.Command {
	return noun("service-account", "Programs that act in a project", serviceAccountCreateCommand(), serviceAccountListCommand(), serviceAccountRemoveCommand())
}

func serviceAccountCreateCommand() *cobra.Command {
	var role string
	cmd := &cobra.Command{Use: "create NAME", Short: "Make a service account in a project", Args: takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		Example: "  m3o service-account create ci --project shop --role developer\n  m3o token create deploys --service-account ci --project shop",
		RunE: action(func(s *session, args []string) error {
			if err := account.CheckProjectRole(account.Role(role)); err != nil {
				return misuse("--%s", fault.Message(err))
			}
			project, err := s.project()
			if err != nil {
				return err
			}
			a, err := s.api.CreateServiceAccount(s.ctx(), project, args[0], account.Role(role))
			if err != nil {
				return err
			}
			return s.done(a, "Service account %s is %s in %s. Make its token: m3o token create NAME --service-account %s --project %s", a.Name, a.Role, a.Project, a.Name, a.Project)
		})}
	cmd.Flags().StringVar(&role, "role", string(account.Developer), "its role: "+roleNames(account.ProjectRoles()))
	return cmd
}

func serviceAccountListCommand() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the service accounts of a project", Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(s *session, _ []string) error {
			project, err := s.project()
			if err != nil {
				return err
			}
			accounts, err := s.api.ServiceAccounts(s.ctx(), project)
			if err != nil {
				return err
			}
			return rows(s, accounts, "There are no service accounts in "+project+".", []string{"name", "role", "since", "by"}, func(a account.ServiceAccount) []string {
				return []string{a.Name, string(a.Role), ago(a.CreatedAt), dash(a.CreatedBy)}
			})
		})}
}

func serviceAccountRemoveCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{Use: "remove NAME", Short: "Remove a service account with its tokens", Args: takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(s *session, args []string) error {
			project, err := s.project()
			if err != nil {
				return err
			}
			if err := s.confirm(yes, fmt.Sprintf("Remove the service account %s of %s with its tokens?", args[0], project)); err != nil {
				return err
			}
			if err := s.api.RemoveServiceAccount(s.ctx(), project, args[0]); err != nil {
				return err
			}
			return s.done(map[string]string{"removed": args[0], "project": project}, "Service account %s is removed.", args[0])
		})}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
