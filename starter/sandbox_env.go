//go:build embedded

package main

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/sandbox"
)

func sandboxEnvCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{Use: "env PROVIDER", Short: "Print the variables with which a stock client uses a sandbox cloud", Args: takes(1, 1),
		Long: "Print the variables with which a provider's stock clients use the sandbox of the data directory, as lines for a shell. They hold\n" +
			"the account's credentials. Files that they name are in the sandbox's folder; nothing is written elsewhere.",
		Example: "  eval \"$(m3o sandbox env digitalocean)\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			if dir == "" {
				of, err := ownDataDir(cmd)
				if err != nil {
					return err
				}
				dir = filepath.Join(of, "sandbox")
			}
			variables, err := sandbox.Variables(cmd.Context(), dir, args[0])
			if err != nil {
				return err
			}
			if wantsJSON(cmd) {
				return printJSON(cmd.OutOrStdout(), variables)
			}
			return exportAll(cmd.OutOrStdout(), variables)
		}}
	cmd.Flags().StringVar(&dir, "dir", "", "folder of the sandbox (default: sandbox in the data directory)")
	return cmd
}

// exportAll prints variables as a shell takes them, in the order of their names.
func exportAll(out io.Writer, variables map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		if _, err := fmt.Fprintf(out, "export %s=%s\n", name, shellQuoted(variables[name])); err != nil {
			return err
		}
	}
	return nil
}

// shellQuoted is text as one word of a shell, which changes nothing in it.
func shellQuoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
