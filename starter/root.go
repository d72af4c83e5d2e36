package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/m3o/platform/internal/machine"
)

// The groups of commands in the help.
const (
	groupRegions  = "regions"
	groupServices = "services"
	groupAlerts   = "alerts"
	groupAccounts = "accounts"
	groupServe    = "serve"
	groupOther    = "other"
)

func rootCommand() *cobra.Command {
	root := &cobra.Command{Use: "m3o", Short: "Micro as a service on every cloud", SilenceUsage: true, SilenceErrors: true, Version: version,
		Long: "m3o turns cloud accounts and a git repository into running microservices.\n\nBegin with `m3o dev` on one machine: no Docker, no accounts, no root."}
	root.AddGroup(&cobra.Group{ID: groupRegions, Title: "Regions:"}, &cobra.Group{ID: groupServices, Title: "Services:"},
		&cobra.Group{ID: groupAlerts, Title: "Alerts and on-call:"}, &cobra.Group{ID: groupAccounts, Title: "People, projects and tokens:"},
		&cobra.Group{ID: groupServe, Title: "Processes:"}, &cobra.Group{ID: groupOther, Title: "Other:"})
	root.SetHelpCommandGroupID(groupOther)
	root.SetCompletionCommandGroupID(groupOther)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return misuse("%s", flagMistake(err)) })
	addClientFlags(root)
	root.AddCommand(apiCommand(), workerCommand(), gatewayCommand(), migrateCommand(), imageCommand(), versionCommand())
	root.AddCommand(embeddedCommands()...)
	root.AddCommand(regionCommands()...)
	root.AddCommand(serviceCommands()...)
	root.AddCommand(alertingCommands()...)
	root.AddCommand(accountCommands()...)
	return root
}

// flagMistake says what is wrong with the flags that were given, as settings are said to be wrong.
func flagMistake(err error) string {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err.Error()
	}
	wants := map[string]string{"int": "a number", "int32": "a number", "duration": "a span of time such as 90s or 2m", "bool": "true or false"}
	name, kind := invalid.GetFlag().Name, invalid.GetFlag().Value.Type()
	if wants[kind] == "" {
		return fmt.Sprintf("--%s: %v", name, invalid.Unwrap())
	}
	return fmt.Sprintf("--%s: %.40q is not %s", name, invalid.GetValue(), wants[kind])
}

func versionCommand() *cobra.Command {
	var check bool
	var offset int
	cmd := &cobra.Command{Use: "version", Short: "Print the version, and with --check what this machine lacks to run the platform", GroupID: groupOther, Args: takes(0, 0),
		Example: "  m3o version\n  m3o version --check",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if check {
				return checkMachine(cmd, offset)
			}
			if wantsJSON(cmd) {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]string{"version": version})
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version)
			return err
		}}
	cmd.Flags().BoolVar(&check, "check", false, "say what this machine has and lacks to run the platform with m3o dev; fails if it cannot")
	cmd.Flags().IntVar(&offset, "port-offset", 0, "with --check: the ports as m3o dev --port-offset moves them")
	return cmd
}

// checkMachine shows what m3o dev would find here.
func checkMachine(cmd *cobra.Command, offset int) error {
	m := machine.Here(cmd.Context())
	m.Built, m.Data, m.Ports = true, locate(cmd).dir, machine.Ports(offset)
	findings := m.Look(cmd.Context())
	unfit := slices.ContainsFunc(findings, func(f machine.Finding) bool { return f.Stops(machine.ToRun) })
	out := cmd.OutOrStdout()
	if wantsJSON(cmd) {
		if err := json.NewEncoder(out).Encode(map[string]any{"version": version, "fit": !unfit, "machine": findings}); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(out, "%-34s %s\n", "m3o", version)
		machine.List(out, findings)
		machine.Report(out, findings, machine.ToRun)
	}
	if unfit {
		return errShown
	}
	return nil
}
