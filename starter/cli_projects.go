package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/fault"
)

func projectCommand() *cobra.Command {
	return noun("project", "Create, list, suspend and delete projects", projectCreateCommand(), projectListCommand(), projectShowCommand(), projectMembersCommand(),
		projectSuspendCommand(), projectUnsuspendCommand(), projectDeleteCommand())
}

func projectNames(ctx context.Context, api *client.Client) ([]string, error) {
	projects, err := api.Projects(ctx)
	names := make([]string, len(projects))
	for i, p := range projects {
		names[i] = p.Name
	}
	return names, err
}

func projectCreateCommand() *cobra.Command {
	var platform string
	cmd := &cobra.Command{Use: "create NAME", Short: "Make a project on a platform", Args: takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Make a project on a platform. Its services go to that platform's regions, and to no other's.", Example: "  m3o project create shop --platform micro",
		RunE: action(func(s *session, args []string) error {
			if err := account.CheckProject("NAME", args[0]); err != nil {
				return misuse("%s", fault.Message(err))
			}
			p, err := s.api.CreateProject(s.ctx(), args[0], platform)
			if err != nil {
				return err
			}
			return s.done(p, "Project %s is on the platform %s. Give people a role in it: m3o role grant developer USER --project %s", p.Name, dash(p.Platform), p.Name)
		})}
	cmd.Flags().StringVar(&platform, "platform", "", "its platform; may be left out when there is one")
	return cmd
}

func projectRow(p account.Project) []string {
	return []string{p.Name, dash(p.Platform), string(p.Status), dash(p.Why()), ago(p.CreatedAt), dash(p.CreatedBy)}
}

func projectListCommand() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the projects that you have a role in", Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(s *session, _ []string) error {
			projects, err := s.api.Projects(s.ctx())
			if err != nil {
				return err
			}
			return rows(s, projects, "You have a role in no project.", []string{"name", "platform", "status", "suspended for", "since", "by"}, projectRow)
		})}
}

func projectShowCommand() *cobra.Command {
	return &cobra.Command{Use: "show NAME", Short: "Show a project", Args: takes(1, 1), ValidArgsFunction: completeNames(projectNames),
		RunE: action(func(s *session, args []string) error {
			p, err := s.api.GetProject(s.ctx(), args[0])
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(s.out, p)
			}
			facts := [][]string{{"project", p.Name}, {"platform", dash(p.Platform)}, {"status", string(p.Status)}, {"made", ago(p.CreatedAt) + " by " + dash(p.CreatedBy)}}
			for _, reason := range p.Suspensions {
				facts = append(facts, []string{"suspended for", fmt.Sprintf("%s, by %s %s: %s", reason.Reason, reason.By, ago(reason.Since), dash(reason.Message))})
			}
			if p.Removal != nil {
				facts = append(facts, []string{"removal", removing(*p.Removal)})
			}
			return table(s.out, nil, facts)
		})}
}

// removing says where a removal is.
func removing(r account.Removal) string {
	if r.Waiting == "" {
		return r.Stage
	}
	return r.Stage + ": waits for " + r.Waiting
}

func projectMembersCommand() *cobra.Command {
	return &cobra.Command{Use: "members NAME", Short: "List who has roles in a project", Args: takes(1, 1), ValidArgsFunction: completeNames(projectNames),
		RunE: action(func(s *session, args []string) error {
			members, err := s.api.Members(s.ctx(), args[0])
			if err != nil {
				return err
			}
			return rows(s, members, "Nobody has a role in "+args[0]+".", []string{"name", "kind", "roles"}, func(m account.Member) []string {
				return []string{m.Name, string(m.Kind), roleNames(m.Roles)}
			})
		})}
}

func projectSuspendCommand() *cobra.Command {
	var reason, message string
	cmd := &cobra.Command{Use: "suspend NAME", Short: "Suspend a project: the API and its gateways refuse it", Args: takes(1, 1), ValidArgsFunction: completeNames(projectNames),
		Long: "Suspend a project for a reason: the API takes no deploys, and gateways no calls. A project may be suspended for several reasons; it is active\n" +
			"again when the last one is lifted.", Example: "  m3o project suspend shop --message \"sends spam\"",
		RunE: action(func(s *session, args []string) error {
			if err := account.CheckReason(account.Reason(reason), message); err != nil {
				return misuse("--%s", fault.Message(err))
			}
			p, err := s.api.SuspendProject(s.ctx(), args[0], account.Reason(reason), message)
			if err != nil {
				return err
			}
			return s.done(p, "Project %s is %s: %s.", p.Name, p.Status, dash(p.Why()))
		})}
	cmd.Flags().StringVar(&reason, "reason", string(account.ByOperator), "operator, cap or dunning")
	cmd.Flags().StringVar(&message, "message", "", "what its members are told")
	return cmd
}

func projectUnsuspendCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{Use: "unsuspend NAME", Short: "Lift one reason for which a project is suspended", Args: takes(1, 1), ValidArgsFunction: completeNames(projectNames),
		RunE: action(func(s *session, args []string) error {
			if err := account.CheckReason(account.Reason(reason), ""); err != nil {
				return misuse("--%s", fault.Message(err))
			}
			p, err := s.api.UnsuspendProject(s.ctx(), args[0], account.Reason(reason))
			if err != nil {
				return err
			}
			if p.Status == account.ProjectSuspended {
				return s.done(p, "Project %s is still suspended: %s.", p.Name, p.Why())
			}
			return s.done(p, "Project %s is %s.", p.Name, p.Status)
		})}
	cmd.Flags().StringVar(&reason, "reason", string(account.ByOperator), "operator, cap or dunning")
	return cmd
}

func projectDeleteCommand() *cobra.Command {
	var yes, cascade bool
	cmd := &cobra.Command{Use: "delete NAME", Short: "Delete a project, with --cascade its services too", Args: takes(1, 1), ValidArgsFunction: completeNames(projectNames),
		Long: "Delete a project with its members, service accounts and tokens. One that has services needs --cascade. Its name is never given again. Waits\n" +
			"until nothing is left of it; Ctrl-C leaves, and the removal goes on.",
		RunE: action(func(s *session, args []string) error {
			what := fmt.Sprintf("Delete the project %s?", args[0])
			if cascade {
				what = fmt.Sprintf("Delete the project %s with all its services?", args[0])
			}
			if err := s.confirm(yes, what); err != nil {
				return err
			}
			s.patient()
			if err := s.api.DeleteProject(s.ctx(), args[0], cascade); err != nil {
				return err
			}
			s.again = "m3o project show " + args[0]
			return s.awaitRemoval(args[0])
		})}
	cmd.Flags().BoolVar(&cascade, "cascade", false, "kill its services first")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// removalLook is how often the removal of a project is looked at.
const removalLook = time.Second

// awaitRemoval says where an accepted removal is, whenever that changes, until the project is gone. Roles in the project and
// tokens for it go with it, so who held no others is refused from then on and never told that there is no such project.
func (s *session) awaitRemoval(name string) error {
	said := ""
	for {
		p, err := s.api.GetProject(s.ctx(), name)
		switch {
		case fault.Is(err, fault.NotFound), fault.Is(err, fault.Denied), fault.Is(err, fault.Unauthenticated):
			return s.done(map[string]string{"deleted": name}, "Project %s is gone.", name)
		case err != nil:
			return err
		case p.Removal != nil && removing(*p.Removal) != said:
			said = removing(*p.Removal)
			fmt.Fprintln(s.err, oneLine(said))
		}
		select {
		case <-s.ctx().Done():
			return s.ctx().Err()
		case <-time.After(removalLook):
		}
	}
}
