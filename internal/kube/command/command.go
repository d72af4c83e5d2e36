// Package command is the command line of m3o-kube: what main runs, and what the
// end-to-end tests run in processes of their own.
//
// It holds no logic: each command calls one function of cluster or node.
package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/m3o/platform/internal/kube/cluster"
	"github.com/m3o/platform/internal/kube/controlplane"
	"github.com/m3o/platform/internal/kube/node"
)

// Exit codes of the contract.
const (
	exitFailed  = 1
	exitRefused = 3
)

// gcPercent trades a little time for a third of the memory: a cluster is mostly
// idle, and several of them share a developer's machine.
const gcPercent = 50

// Run runs the command of this process' arguments and returns its exit code.
func Run() int {
	debug.SetGCPercent(gcPercent)
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	// Kubernetes tells its own story at length; its warnings are enough.
	klog.SetSlogLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := command(logger).ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, cluster.ErrRestart):
		logger.Info("cluster: starting again, as the wanted state asks")
		err = syscall.Exec("/proc/self/exe", os.Args, os.Environ())
	}
	fmt.Fprintln(os.Stderr, "m3o-kube:", err)
	if errors.Is(err, node.ErrRefused) {
		return exitRefused
	}
	return exitFailed
}

func command(logger *slog.Logger) *cobra.Command {
	root := &cobra.Command{
		Use:           "m3o-kube",
		Short:         "A real Kubernetes cluster in one unprivileged binary",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(clusterCommand(logger), nodeCommand(logger), probeCommand(), versionCommand())
	return root
}

func clusterCommand(logger *slog.Logger) *cobra.Command {
	config := cluster.Config{Logger: logger}
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Run the cluster of a directory until told to stop",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cluster.Run(cmd.Context(), config)
		},
	}
	cmd.Flags().DurationVar(&config.OwnerTimeout, "owner-timeout", cluster.DefaultOwnerTimeout,
		"stop when DIR/owner was not touched for so long")
	return withDir(cmd, &config.Dir)
}

func nodeCommand(logger *slog.Logger) *cobra.Command {
	var dir string
	var trees []string
	cmd := &cobra.Command{
		Use:    node.Subcommand,
		Short:  "Run one node (the cluster starts it)",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return node.Main(cmd.Context(), dir, trees, logger)
		},
	}
	cmd.Flags().StringArrayVar(&trees, "tree", nil, "folder whose mount was handed over as a file descriptor, from 3 on")
	return withDir(cmd, &dir)
}

func withDir(cmd *cobra.Command, dir *string) *cobra.Command {
	cmd.Flags().StringVar(dir, "dir", "", "directory of the state")
	if err := cmd.MarkFlagRequired("dir"); err != nil {
		panic(err) // the flag is defined on the line above
	}
	return cmd
}

func probeCommand() *cobra.Command {
	return &cobra.Command{
		Use:    node.ProbeSubcommand,
		Short:  "Try what a node needs (the cluster starts it)",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE:   func(*cobra.Command, []string) error { return node.Probe() },
	}
}

func versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the Kubernetes version and those it can present",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info := struct {
				Kubernetes string   `json:"kubernetes"`
				Emulates   []string `json:"emulates"`
			}{controlplane.BinaryVersion(), controlplane.EmulatedVersions()}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(info)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "Kubernetes %s, presents %v\n", info.Kubernetes, info.Emulates)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
