package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/release"
)

type runFlags struct {
	name, image     string
	detach, verbose bool
	settings        settingFlags
}

func runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{Use: "run SOURCE", Short: "Build a folder and bring it to every region", GroupID: groupServices, Args: takes(0, 1),
		Long: "Pack a folder that holds a Go main package, have it built, and bring it to every region; or bring out an image\n" +
			"that exists. Waits until the release answers everywhere; if it fails in one region, every region goes back to what ran before.\n" +
			"Leave with Ctrl-C: the work goes on.\n\n" +
			"A folder of a module or workspace is sent with all of that; the only main package below a folder is found. Before anything is\n" +
			"sent the source is held to what go build needs of it.\n\n" +
			"Excluded are the files that .gitignore names, also that of folders above, up to the root of the git repository; .m3oignore adds to it.\n" +
			"How a source wants to run it may say in " + manifestFile + ", beside the package or in the folder named: name, " + strings.Join(settingFields(), ", ") + ".\n" +
			"Flags win over it. What neither says stays as the newest release has it that has not failed. What was said in " + manifestFile + " and is\n" +
			"no more goes back to its default, and so does what --reset names.",
		Example: "  m3o run deploy/examples/hello\n  m3o run . --name api --package ./cmd/server --public --env LEVEL=debug\n  m3o run --image registry.example.com/shop@sha256:… --name shop --port 3000",
		RunE:    action(func(s *session, args []string) error { return s.run(&f, args) })}
	flags := cmd.Flags()
	flags.StringVar(&f.name, "name", "", "name of the service (default: the folder's)")
	f.settings.declare(cmd)
	flags.StringVar(&f.image, "image", "", "bring out this image instead of a source")
	flags.BoolVarP(&f.detach, "detach", "d", false, "do not wait")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "on a terminal, print the build's log as it comes")
	completeFlag(cmd, "name", serviceNames)
	return cmd
}

// settingFields are what m3o.yaml may say beside the service's name.
func settingFields() []string {
	names := make([]string, 0, len(manifestFields))
	for _, f := range manifestFields[1:] {
		names = append(names, f.name)
	}
	return names
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
	m, err := s.manifest(f, dir, f.settings.pkg)
	if err != nil {
		return err
	}
	if m.Image = f.image; dir != "" {
		if m, err = s.send(f, dir, m); err != nil {
			return err
		}
	}
	ordered, err := s.api.CreateRelease(s.ctx(), m.Name, m.ReleaseRequest)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.err, "Release %d of %s accepted.\n", ordered.Release, m.Name)
	if err := s.tellChanges(m.Name, ordered.Release, m.Reset); err != nil {
		return err
	}
	if f.detach {
		return s.printOrdered(ordered)
	}
	return s.follow(m.Name, ordered.Release, dir != "")
}

// send uploads the source in the folder, once it is known to hold a program, and returns how that is to run.
func (s *session) send(f *runFlags, dir string, m manifest) (manifest, error) {
	m, p, err := s.findProgram(f, dir, m)
	if err != nil {
		return m, err
	}
	defer p.close()
	p.tell(s, dir)
	if m.unnamed {
		if err := s.mayReplace(m.Name, p.program.ImportPath); err != nil {
			return m, err
		}
	}
	m.Package, m.Module = p.program.Package, p.program.ImportPath
	m.Reset = slices.DeleteFunc(slices.Clone(m.Reset), func(name string) bool { return name == "package" }) // it was found anew
	m.Source, err = s.upload(p)
	return m, err
}

// findProgram opens the source of the program that is named, or else that the service has, or else that is the only one in the folder.
// The manifest beside it counts, whoever found it.
func (s *session) findProgram(f *runFlags, dir string, m manifest) (manifest, *programSource, error) {
	kept, err := s.keptOrigin(&m)
	if pkg := keptIn(dir, kept.Package); err == nil && m.Package == "" && pkg != "" {
		if m, err = s.manifest(f, dir, pkg); err == nil {
			kept, err = s.keptOrigin(&m)
		}
	}
	if err != nil {
		return m, nil, err
	}
	p, err := s.openSource(m.Name, dir, m.Package, kept.Build.Tags)
	if err != nil || p.chosen == "" {
		return m, p, err
	}
	defer p.close()
	if m, err = s.manifest(f, dir, p.chosen); err != nil {
		return m, nil, err
	}
	if kept, err = s.keptOrigin(&m); err != nil {
		return m, nil, err
	}
	chosen := p.chosen
	p, err = s.openSource(m.Name, dir, chosen, kept.Build.Tags)
	if err == nil {
		p.chosen = chosen
	}
	return m, p, err
}

func (s *session) printOrdered(o client.Ordered) error {
	if s.json {
		return printJSON(s.out, struct {
			client.Ordered
			Changes []release.Change `json:"changes,omitempty"`
			Source  *sentSource      `json:"source,omitempty"`
			Notes   []string         `json:"notes,omitempty"`
		}{o, s.changes, s.sent, s.notes})
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
	if err := m.override(s.cmd, &f.settings); err != nil {
		return m, err
	}
	if s.cmd.Flags().Changed("name") {
		m.Name = f.name
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
