package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// regionCommands are the commands of the operator.
func regionCommands() []*cobra.Command {
	regions := &cobra.Command{Use: "region", Short: "Look at regions, and operate them", GroupID: groupRegions, Aliases: []string{"regions"}}
	refuseUnknown(regions)
	regions.AddCommand(regionListCommand(), regionShowCommand(), kubeconfigCommand(), retryCommand(), teardownCommand())
	return []*cobra.Command{planCommand(), applyCommand(), destroyCommand(), regions, platformCommand()}
}

func regionListCommand() *cobra.Command {
	var platform string
	cmd := &cobra.Command{Use: "list", Short: "List the regions", Aliases: []string{"ls"}, Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(s *session, _ []string) error {
			lines, err := s.api.Regions(s.ctx(), platform)
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(s.out, lines)
			}
			if len(lines) == 0 {
				fmt.Fprintln(s.err, "There are no regions yet: make some with `m3o apply -f platform.yaml`.")
				return nil
			}
			if err := printRegions(s.out, lines); err != nil {
				return err
			}
			if lines[0].Unseen != nil { // of one is of all
				fmt.Fprintf(s.err, "What is said of regions is from before: %s\n", lines[0].Unseen)
			}
			return nil
		})}
	cmd.Flags().StringVar(&platform, "platform", "", "only those of this platform")
	return cmd
}

func printRegions(w io.Writer, lines []client.RegionLine) error {
	rows := make([][]string, len(lines))
	for i, l := range lines {
		rows[i] = []string{l.Name, string(l.Provider), l.Region, string(l.Status), dash(l.Endpoints.API), saying(l)}
	}
	return table(w, []string{"name", "provider", "region", "status", "api", "message"}, rows)
}

// saying is what there is to say of a region beside its status: what it is at, or what is wrong with it, and that nobody works on its
// cloud.
func saying(l client.RegionLine) string {
	words := strings.TrimPrefix(l.Message, region.AtStep)
	if l.Unserved == nil {
		return words
	}
	if words != "" {
		words += "; "
	}
	return words + l.Unserved.String()
}

// unserved is that nobody works on a region's cloud, and for how long.
func unserved(u *region.Unserved) string {
	if u == nil {
		return ""
	}
	return fmt.Sprintf("%s (%s)", u, ago(u.Since))
}

// unseen is that the regions cannot be seen, and for how long.
func unseen(u *region.Unseen) string {
	if u == nil {
		return ""
	}
	return fmt.Sprintf("%s (%s)", u, ago(u.Since))
}

func regionShowCommand() *cobra.Command {
	return &cobra.Command{Use: "show NAME", Short: "Show a region", Args: takes(1, 1), ValidArgsFunction: completeNames(regionNames),
		Example: "  m3o region show lon1",
		RunE: action(func(s *session, args []string) error {
			r, err := s.api.Region(s.ctx(), args[0])
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(s.out, r)
			}
			progress := region.Progress{}
			if r.Status.Moving() || r.Status == region.Failed {
				// A region that rests, or whose workflow cannot be asked, has none.
				progress, _ = s.api.RegionProgress(s.ctx(), args[0])
			}
			return table(s.out, nil, regionFacts(r, progress))
		})}
}

func regionFacts(r client.RegionDetails, p region.Progress) [][]string {
	spec := r.Spec
	facts := [][]string{
		{"name", spec.Key().String()}, {"provider", string(spec.Provider)}, {"region", spec.Location}, {"domain", spec.Domain},
		{"status", string(r.Status)}, {"message", r.Message}, {"unserved", unserved(r.Unserved)}, {"unseen", unseen(r.Unseen)},
		{"stage", p.Stage}, {"waiting", p.Waiting}, {"api", r.Endpoints.API},
		{"kubernetes", runs(spec.Kubernetes.Version, r.Cluster.Version)},
		{"nodes", fmt.Sprintf("%d of %d ready, %s", r.Cluster.Nodes, spec.Kubernetes.Nodes.Count, spec.Kubernetes.Nodes.Size)},
		{"cluster", strings.TrimSpace(r.Cluster.Name + " " + parenthesis(r.Cluster.ID))}, {"endpoint", r.Cluster.Endpoint},
		{"network", strings.TrimSpace(r.Network.Name + " " + parenthesis(cmp.Or(r.Network.CIDR, spec.CIDR)))},
		{"nat", string(spec.NAT)}, {"egress", strings.Join(r.Network.Egress, ", ")}, {"access", strings.Join(spec.Access, ", ")},
		{"network policy", networkPolicy(r.Region)}, {"storage class", r.Verified.StorageClass},
		{"control", parts(spec.Control)}, {"resource", parts(spec.Resource)}, {"network parts", parts(spec.Network)},
		{"created", ago(r.CreatedAt)}, {"changed", ago(r.UpdatedAt)},
	}
	shown := facts[:0]
	for _, f := range facts {
		if f[1] != "" {
			shown = append(shown, f)
		}
	}
	return shown
}

// networkPolicy says whether anything keeps the pods of projects apart.
func networkPolicy(r region.Region) string {
	switch r.Verified.NetworkPolicy {
	case region.Enforced:
		return "enforced by " + r.Verified.Engine
	case region.Unenforced:
		return "NOT enforced: the pods of all projects reach each other"
	}
	return ""
}

// runs is a minor version that was asked for, and the patch that runs. EKS tells no patch: until the cluster was asked, there is none.
func runs(wanted, version string) string {
	if version == wanted {
		return wanted
	}
	return strings.TrimSpace(wanted + " " + parenthesis(version))
}

func parenthesis(s string) string {
	if s == "" {
		return ""
	}
	return "(" + s + ")"
}

func parts(list []region.Part) string {
	names := make([]string, len(list))
	for i, p := range list {
		names[i] = string(p)
	}
	return strings.Join(names, ", ")
}

func kubeconfigCommand() *cobra.Command {
	var output, role string
	var options client.KubeconfigOptions
	cmd := &cobra.Command{Use: "kubeconfig NAME", Short: "Print a kubeconfig of your own for a region's cluster", Args: takes(1, 1), ValidArgsFunction: completeNames(regionNames),
		Long: "Print a kubeconfig of your own for a region's cluster: a token of a service account with your name, which the cluster's audit\n" +
			"log shows. It is made by that cloud's worker and travels sealed to a key made for this one request. The role view looks at\n" +
			"everything but secrets; admin, which may do everything, needs the permission regions:access.",
		Example: "  m3o region kubeconfig lon1 --output lon1.yaml\n  KUBECONFIG=<(m3o region kubeconfig lon1 --for 30m --role view) kubectl get nodes",
		RunE: action(func(s *session, args []string) error {
			options.Role = region.Role(role)
			config, err := s.api.Kubeconfig(s.ctx(), args[0], options)
			if err != nil {
				return err
			}
			if output != "" {
				return writePrivate(output, config)
			}
			if s.json {
				return printJSON(s.out, map[string]string{"name": args[0], "kubeconfig": string(config)})
			}
			_, err = s.out.Write(config)
			return err
		})}
	cmd.Flags().StringVarP(&output, "output", "o", "", "write to this file, for its owner alone")
	cmd.Flags().StringVar(&options.For, "for", "1h", "how long it holds: 10m to 24h")
	cmd.Flags().StringVar(&role, "role", "", "view or admin (default: as much as you may)")
	return cmd
}

// writePrivate writes a file that only its owner can read, also where a file with other rights was.
func writePrivate(path string, data []byte) error {
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return err
	}
	return os.Chmod(path, 0o600)
}

func retryCommand() *cobra.Command {
	return &cobra.Command{Use: "retry NAME", Short: "Go on with a bootstrap that waits or failed", Args: takes(1, 1), ValidArgsFunction: completeNames(regionNames),
		Long:    "Go on with a bootstrap that waits for quota or permission, or that failed, and wait until the region has settled.",
		Example: "  m3o region retry lon1",
		RunE: action(func(s *session, args []string) error {
			return s.commandRegion(args[0], false, func(name string) error {
				_, err := s.api.RetryRegion(s.ctx(), name)
				return err
			})
		})}
}

func teardownCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{Use: "teardown NAME", Short: "Take a region down", Args: takes(1, 1), ValidArgsFunction: completeNames(regionNames),
		Long:    "Take a region down with all that runs there, and wait until it is gone.",
		Example: "  m3o region teardown lon1 --yes",
		RunE: action(func(s *session, args []string) error {
			return s.commandRegion(args[0], true, func(name string) error {
				if err := s.confirm(yes, fmt.Sprintf("Take down region %s, with all that runs there?", name)); err != nil {
					return err
				}
				_, err := s.api.DeleteRegion(s.ctx(), name)
				return err
			})
		})}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// commandRegion gives one region a command, and waits for what comes of it.
func (s *session) commandRegion(name string, gone bool, command func(name string) error) error {
	s.patient()
	s.again = "m3o region show " + name
	r, err := s.api.Region(s.ctx(), name)
	if err != nil {
		return err
	}
	a := &awaited{key: r.Spec.Key(), gone: gone, after: r.Version, line: client.RegionLine{Name: r.Spec.Name, Platform: r.Spec.Platform,
		Provider: r.Spec.Provider, Region: r.Spec.Location, Status: r.Status, Endpoints: r.Endpoints}}
	if !gone || r.Status != region.Deleting {
		if err := command(name); err != nil {
			return err
		}
	}
	err = s.awaitRegions([]*awaited{a})
	switch {
	case err != nil && !fault.Is(err, fault.Failed):
		return err
	case s.json:
		if err := printJSON(s.out, a.line); err != nil {
			return err
		}
	case err == nil:
		return printRegions(s.out, []client.RegionLine{a.line})
	}
	return err
}

func number(n int) string { return strconv.Itoa(n) }
