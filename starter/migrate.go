package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/config"
)

func migrateCommand() *cobra.Command {
	return &cobra.Command{Use: "migrate", Short: "Bring the database up to this version's schema", GroupID: groupServe, Args: takes(0, 0),
		Long: "Bring the database of M3O_STORE up to this version's schema. Running it twice, or on several machines at once, is harmless.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			db, err := openStore(cmd.Context(), config.Load())
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "The database is up to date.")
			return db.Close()
		}}
}
