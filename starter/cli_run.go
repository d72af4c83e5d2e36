package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/client"
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
	m, err := s.manifest(f, dir, f.pkg)
	if err != nil {
		return err
	}
	request := m.request()
	request.Image = f.image
	if dir != "" {
		if m, request, err = s.send(f, dir, m); err != nil {
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

// send uploads the source in the folder, once it is known to hold a program, and returns how that is to run.
func (s *session) send(f *runFlags, dir string, m manifest) (manifest, client.ReleaseRequest, error) {
	p, err := s.openSource(dir, m.Package, nil)
	if err != nil {
		return m, client.ReleaseRequest{}, err
	}
	defer p.close()
	if p.chosen != "" {
		if m, err = s.manifest(f, dir, p.chosen); err != nil {
			return m, client.ReleaseRequest{}, err
		}
	}
	p.tell(s, dir)
	if m.unnamed {
		if err := s.mayReplace(m.Name, p.program.ImportPath); err != nil {
			return m, client.ReleaseRequest{}, err
		}
	}
	request := m.request()
	request.Package, request.Module = p.program.Package, p.program.ImportPath
	request.Source, err = s.upload(p)
	return m, request, err
}

func (s *session) printOrdered(o client.Ordered) error {
	if s.json {
		return printJSON(s.out, o)
	}
	_, err := fmt.Fprintf(s.out, "Look at it with `m3o status %s`.\n", o.Service)
	return err
}

// manifest is how the service is to run: what the source says, and what the flags say. The program lies in the folder pkg below dir, or
// where the manifest in dir says.
func (s *session) manifest(f *runFlags, dir, pkg string) (manifest, error) {
	var m manifest
	var err error
	if dir != "" {
		if m, err = s.sourceManifest(dir, pkg); err != nil {
			return m, err
		}
	}
	if err := m.override(s.cmd, f); err != nil {
		return m, err
	}
	if m.Name == "" && dir != "" {
		m.unnamed = true
		if m.Name, err = folderName(dir); err != nil {
			return m, err
		}
	}
	if m.Name == "" {
		return m, misuse("name the service: --name shop")
	}
	return m, m.check(cmp.Or(s.api.Project, account.DefaultProject), f.image)
}
