package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

// The groups of commands in the help.
const (
	groupRegions  = "regions"
	groupServices = "services"
	groupAccounts = "accounts"
	groupServe    = "serve"
	groupOther    = "other"
)

func rootCommand() *cobra.Command {
	root := &cobra.Command{Use: "m3o", Short: "Micro as a service on every cloud", SilenceUsage: true, SilenceErrors: true, Version: version,
		Long: "m3o turns cloud accounts and a git repository into running microservices.\n\nBegin with `m3o dev` on one machine: no Docker, no accounts, no root."}
	root.AddGroup(&cobra.Group{ID: groupRegions, Title: "Regions:"}, &cobra.Group{ID: groupServices, Title: "Services:"},
		&cobra.Group{ID: groupAccounts, Title: "People, projects and tokens:"},
		&cobra.Group{ID: groupServe, Title: "Processes:"}, &cobra.Group{ID: groupOther, Title: "Other:"})
	root.SetHelpCommandGroupID(groupOther)
	root.SetCompletionCommandGroupID(groupOther)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return misuse("%v", err) })
	addClientFlags(root)
	root.AddCommand(apiCommand(), workerCommand(), gatewayCommand(), migrateCommand(), imageCommand(), versionCommand())
	root.AddCommand(embeddedCommands()...)
	root.AddCommand(regionCommands()...)
	root.AddCommand(serviceCommands()...)
	root.AddCommand(accountCommands()...)
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", GroupID: groupOther, Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wantsJSON(cmd) {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]string{"version": version})
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version)
			return err
		}}
}
