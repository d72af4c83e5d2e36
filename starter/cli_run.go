package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/source"
)

type runFlags struct {
	name, pkg, health, image string
	port, replicas           int
	public, detach, verbose  bool
	env, args                []string
}

func runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{Use: "run SOURCE", Short: "Build a folder and bring it to every region", GroupID: groupServices, Args: takes(0, 1),
		Long: "Pack a folder that holds a Go main package, have it built, and bring it to every region; or bring out an image\n" +
			"that exists. Waits until the release answers everywhere; if it fails in one region, every region goes back to what ran before.\n" +
			"Leave with Ctrl-C: the work goes on.\n\n" +
			"Excluded are the files that .gitignore names, also that of folders above, up to the root of the git repository; .m3oignore adds to it.\n" +
			"How a source wants to run it may say in " + manifestFile + ": name, package, access, port, replicas, health, env, args. Flags win.",
		Example: "  m3o run deploy/examples/hello\n  m3o run . --name api --package ./cmd/server --public --env LEVEL=debug\n  m3o run --image registry.example.com/shop@sha256:… --name shop --port 3000",
		RunE:    action(func(s *session, args []string) error { return s.run(&f, args) })}
	flags := cmd.Flags()
	flags.StringVar(&f.name, "name", "", "name of the service (default: the folder's)")
	flags.StringVar(&f.pkg, "package", "", "folder of the main package in the source (default: .)")
	flags.IntVar(&f.port, "port", 0, "port the program listens on; it is told by $PORT (default 8080)")
	flags.IntVar(&f.replicas, "replicas", 0, "instances in each region (default 1)")
	flags.StringVar(&f.health, "health", "", "path of an HTTP health check (default: a connection is enough)")
	flags.BoolVar(&f.public, "public", false, "let everybody call it (default: only with a key)")
	flags.StringArrayVar(&f.env, "env", nil, "a setting NAME=VALUE, no secrets; may be repeated")
	flags.StringArrayVar(&f.args, "arg", nil, "an argument of the program; may be repeated")
	flags.StringVar(&f.image, "image", "", "bring out this image instead of a source")
	flags.BoolVarP(&f.detach, "detach", "d", false, "do not wait")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "on a terminal, print the build's log as it comes")
	completeFlag(cmd, "name", serviceNames)
	return cmd
}

// run brings out a release of a folder or of an image.
func (s *session) run(f *runFlags, args []string) error {
	s.patient()
	s.verbose = f.verbose
	if (len(args) == 0) == (f.image == "") {
		return misuse("name either a source folder or an --image: %s", s.cmd.UseLine())
	}
	dir := ""
	if f.image == "" {
		dir = args[0]
	}
	m, err := s.manifest(f, dir)
	if err != nil {
		return err
	}
	request := m.request()
	if request.Image = f.image; dir != "" {
		if request.Source, err = s.upload(dir, m.Package); err != nil {
			return err
		}
	}
	ordered, err := s.api.CreateRelease(s.ctx(), m.Name, request)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.err, "Release %d of %s accepted.\n", ordered.Release, m.Name)
	if f.detach {
		return s.printOrdered(ordered)
	}
	return s.follow(m.Name, ordered.Release, dir != "")
}

func (s *session) printOrdered(o client.Ordered) error {
	if s.json {
		return printJSON(s.out, o)
	}
	_, err := fmt.Fprintf(s.out, "Look at it with `m3o status %s`.\n", o.Service)
	return err
}

// manifest is how the service is to run: what the source says, and what the flags say.
func (s *session) manifest(f *runFlags, dir string) (manifest, error) {
	var m manifest
	var err error
	if dir != "" {
		if m, err = readManifest(dir); err != nil {
			return m, err
		}
	}
	if err := m.override(s.cmd, f); err != nil {
		return m, err
	}
	if m.Name == "" && dir != "" {
		whole, err := filepath.Abs(dir)
		if err != nil {
			return m, err
		}
		m.Name = filepath.Base(whole)
	}
	if m.Name == "" {
		return m, misuse("name the service: --name shop")
	}
	return m, m.check(cmp.Or(s.api.Project, account.DefaultProject), f.image)
}

// upload packs a folder and sends it, unless the API has it already. It returns the source's digest.
func (s *session) upload(dir, pkg string) (string, error) {
	if err := source.CheckGo(dir, pkg); err != nil {
		return "", fmt.Errorf("%s: %w", dir, err)
	}
	file, err := os.CreateTemp("", "m3o-source-*.tar.gz")
	if err != nil {
		return "", fmt.Errorf("pack the source: %w", err)
	}
	defer os.Remove(file.Name())
	stats, err := source.Pack(dir, file, source.Limits{})
	if err := errors.Join(err, file.Close()); err != nil {
		return "", err
	}
	fmt.Fprintf(s.err, "Packed %d files, %d kB, %s.\n", stats.Files, (stats.Packed+999)/1000, stats.Digest[:19])
	if err := s.api.PutSource(s.ctx(), stats.Digest, file.Name()); err != nil {
		return "", fmt.Errorf("upload the source: %w", err)
	}
	return stats.Digest, nil
}
