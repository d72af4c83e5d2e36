package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/fault"
)

func contactCommand() *cobra.Command {
	return alertNoun("contact", "Say how you are reached when alerts page you", contactAddCommand(), contactListCommand(), contactVerifyCommand(), contactCodeCommand(),
		contactRemoveCommand(), contactRulesCommand(), contactPeopleCommand())
}

func contactAddCommand() *cobra.Command {
	return &cobra.Command{Use: "add CHANNEL ADDRESS", Short: "Add a contact of your own; a code is sent there", Args: takes(2, 2), ValidArgs: []string{"email", "sms", "slack"},
		Long:    "Add a contact of your own: email, sms or slack. A code is sent there; the contact is used once you say the code (m3o contact verify).",
		Example: "  m3o contact add email ana@example.com\n  m3o contact add sms +447700900123\n  m3o contact add slack U012ABCDEF",
		RunE: action(func(s *session, args []string) error {
			if err := alert.CheckContact(alert.Channel(args[0]), args[1]); err != nil {
				return misuse("%s", fault.Message(err))
			}
			made, err := s.api.AddContact(s.ctx(), alert.Channel(args[0]), args[1])
			if err != nil {
				return err
			}
			if !made.CodeSent {
				warn(s.err, []string{made.Message})
				return s.done(made, "Contact %s is added. Have a code sent: m3o contact code %s", made.ID, made.ID)
			}
			return s.done(made, "Contact %s is added, and a code is being sent there. Say it within %s: m3o contact verify %s CODE", made.ID, alert.Duration(alert.CodeLife), made.ID)
		})}
}

func contactListCommand() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List your contacts", Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(s *session, _ []string) error {
			contacts, err := s.api.Contacts(s.ctx())
			if err != nil {
				return err
			}
			return rows(s, contacts, "You have no contacts: m3o contact add email you@example.com", []string{"id", "channel", "address", "status", "added", "message"},
				func(c alert.Contact) []string {
					return []string{c.ID, string(c.Channel), c.Address, string(c.Status), ago(c.CreatedAt), c.Message}
				})
		})}
}

// findContact finds a contact of the caller by its id or address; without either the only one that is pending.
func findContact(s *session, name string) (alert.Contact, error) {
	contacts, err := s.api.Contacts(s.ctx())
	if err != nil {
		return alert.Contact{}, err
	}
	fits := func(c alert.Contact) bool { return c.ID == name || c.Address == name }
	if name == "" {
		fits = func(c alert.Contact) bool { return c.Status == alert.ContactPending }
	}
	found := slices.DeleteFunc(contacts, func(c alert.Contact) bool { return !fits(c) })
	switch {
	case len(found) == 1:
		return found[0], nil
	case name == "" && len(found) == 0:
		return alert.Contact{}, fault.New(fault.NotFound, "you have no contact that is to be verified")
	case len(found) == 0:
		return alert.Contact{}, fault.New(fault.NotFound, "you have no contact %q; m3o contact list shows those you have", name)
	}
	ids := make([]string, len(found))
	for i, c := range found {
		ids[i] = c.ID
	}
	return alert.Contact{}, misuse("say which contact is meant: %s", strings.Join(ids, ", "))
}

func contactVerifyCommand() *cobra.Command {
	return &cobra.Command{Use: "verify [ID|ADDRESS] CODE", Short: "Say the code that was sent to a contact", Args: takes(1, 2), ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Say the code that was sent to a contact, which is used from then on. The contact may be left out when one is pending. A code is good for 15\n" +
			"minutes and five tries.",
		RunE: action(func(s *session, args []string) error {
			name, code := "", args[len(args)-1]
			if len(args) == 2 {
				name = args[0]
			}
			c, err := findContact(s, name)
			if err != nil {
				return err
			}
			if c, err = s.api.VerifyContact(s.ctx(), c.ID, code); err != nil {
				return err
			}
			return s.done(c, "Contact %s is verified: %s to %s.", c.ID, c.Channel, c.Address)
		})}
}

func contactCodeCommand() *cobra.Command {
	return &cobra.Command{Use: "code [ID|ADDRESS]", Short: "Have another code sent to a contact", Args: takes(0, 1), ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Have another code sent to a contact; the one before is void. One a minute and five an hour are sent to an address.",
		RunE: action(func(s *session, args []string) error {
			c, err := findContact(s, strings.Join(args, ""))
			if err != nil {
				return err
			}
			if err := s.api.SendCode(s.ctx(), c.ID); err != nil {
				return err
			}
			return s.done(map[string]string{"contact": c.ID}, "A code is being sent to %s. Say it: m3o contact verify %s CODE", c.Address, c.ID)
		})}
}

func contactRemoveCommand() *cobra.Command {
	return &cobra.Command{Use: "remove ID|ADDRESS", Short: "Remove a contact of your own", Args: takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(s *session, args []string) error {
			c, err := findContact(s, args[0])
			if err != nil {
				return err
			}
			if err := s.api.RemoveContact(s.ctx(), c.ID); err != nil {
				return err
			}
			return s.done(map[string]string{"removed": c.ID}, "Contact %s is removed.", c.ID)
		})}
}

func contactRulesCommand() *cobra.Command {
	var urgency string
	var reset bool
	cmd := &cobra.Command{Use: "rules [CHANNEL:DELAY…]", Short: "Show or say by which channels you are paged, and when", Args: takes(0, 10), ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Show or say by which channels you are paged, and how long after the one before. Without arguments it shows them. With none chosen (--reset) the\n" +
			"project's rules hold. What is not urgent is never paged, so there are rules for --urgency high alone.",
		Example: "  m3o contact rules --urgency high slack:0s sms:2m email:5m",
		RunE: action(func(s *session, args []string) error {
			lines, err := readNotify(urgency, args)
			if err != nil {
				return err
			}
			if reset && len(args) > 0 {
				return misuse("--reset takes no lines")
			}
			if !reset && len(args) == 0 {
				choice, err := s.api.NotifyRules(s.ctx())
				if err != nil {
					return err
				}
				return s.printNotify(choice)
			}
			if !reset {
				if err := s.warnOfChannels(lines); err != nil {
					return err
				}
			}
			choice, err := s.api.SetNotifyRules(s.ctx(), client.NotifyChoice{High: lines})
			if err != nil {
				return err
			}
			return s.printNotify(choice)
		})}
	cmd.Flags().StringVar(&urgency, "urgency", string(alert.High), "of which urgency: high")
	cmd.Flags().BoolVar(&reset, "reset", false, "have the project's rules hold again")
	return cmd
}

// readNotify reads lines such as sms:2m.
func readNotify(urgency string, args []string) ([]alert.Notify, error) {
	lines := []alert.Notify{}
	for _, arg := range args {
		channel, delay, found := strings.Cut(arg, ":")
		if !found {
			delay = "0s"
		}
		after, err := time.ParseDuration(delay)
		if err != nil {
			return nil, misuse("%.60q is no line such as sms:2m: %.40q is no span of time", arg, delay)
		}
		lines = append(lines, alert.Notify{Channel: alert.Channel(channel), After: alert.Duration(after)})
	}
	if err := alert.CheckNotify(map[alert.Urgency][]alert.Notify{alert.Urgency(urgency): lines}); err != nil {
		return nil, misuse("%s", fault.Message(err))
	}
	return lines, nil
}

// warnOfChannels says which lines would reach nobody: the caller has no verified contact of the channel.
func (s *session) warnOfChannels(lines []alert.Notify) error {
	contacts, err := s.api.Contacts(s.ctx())
	if err != nil {
		return err
	}
	var warnings []string
	for _, l := range lines {
		if !slices.ContainsFunc(contacts, func(c alert.Contact) bool { return c.Channel == l.Channel && c.Status == alert.ContactVerified }) {
			warnings = append(warnings, fmt.Sprintf("you have no verified contact by %s: that line is passed over", l.Channel))
		}
	}
	warn(s.err, warnings)
	return nil
}

func (s *session) printNotify(choice client.NotifyChoice) error {
	if s.json {
		return printJSON(s.out, choice)
	}
	return rows(s, choice.High, "You have chosen nothing: the project's rules hold.", []string{"urgency", "channel", "after"}, func(n alert.Notify) []string {
		return []string{string(alert.High), string(n.Channel), n.After.String()}
	})
}

func contactPeopleCommand() *cobra.Command {
	return &cobra.Command{Use: "people", Short: "List how the people are reached whom a project pages (owners)", Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		Long: "List how the people are reached whom a project's schedules, policies and overrides name: channel, masked address and status.",
		RunE: action(func(s *session, _ []string) error {
			project, err := s.project()
			if err != nil {
				return err
			}
			people, err := s.api.ProjectContacts(s.ctx(), project)
			if err != nil {
				return err
			}
			return rows(s, people, "The project's rules name nobody.", []string{"person", "contacts", "problem"}, func(r client.Reach) []string {
				contacts := make([]string, len(r.Contacts))
				for i, c := range r.Contacts {
					contacts[i] = fmt.Sprintf("%s %s (%s)", c.Channel, c.Address, c.Status)
				}
				return []string{r.Person, dash(strings.Join(contacts, ", ")), dash(r.Why)}
			})
		})}
}
