package main

import (
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

type planFlags struct {
	file               string
	destroy, keep, yes bool
}

func (f *planFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.file, "file", "f", "", "the platform file; - reads standard input")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml") // fails only for a flag that does not exist
}

// platformFile is a platform file as it is written, and the regions it names.
type platformFile struct {
	text string
	keys []region.Key
}

// read reads the file, and finds what is wrong with it before anybody is asked.
func (f *planFlags) read(cmd *cobra.Command) (platformFile, error) {
	if f.file == "" {
		return platformFile{}, misuse("name the platform file: %s -f platform.yaml", cmd.CommandPath())
	}
	data, err := readFile(f.file, cmd.InOrStdin(), region.MaxFileBytes)
	if err != nil {
		return platformFile{}, err
	}
	specs, err := region.ParsePlatform(data)
	if err != nil {
		return platformFile{}, listed(f.file, err)
	}
	file := platformFile{text: string(data)}
	for _, spec := range specs {
		file.keys = append(file.keys, spec.Key())
	}
	return file, nil
}

// listed puts each of several problems on a line of its own.
func listed(file string, err error) error {
	var f *fault.Error
	if !errors.As(err, &f) || len(f.Problems) < 2 {
		return fmt.Errorf("%s: %w", file, err)
	}
	lines := make([]string, len(f.Problems))
	for i, p := range f.Problems {
		lines[i] = "\n  " + p.Field + ": " + p.Message
	}
	return fault.New(fault.Invalid, "%s: %d things are wrong:%s", file, len(lines), strings.Join(lines, ""))
}

// readFile reads a file, or standard input for "-", up to a limit.
func readFile(name string, stdin io.Reader, limit int64) ([]byte, error) {
	r := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	var named *os.PathError // it says what was read
	if err != nil && errors.As(err, &named) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return nil, fault.New(fault.Invalid, "%s is larger than %d bytes", name, limit)
	}
	return data, nil
}

func planCommand() *cobra.Command {
	var f planFlags
	cmd := &cobra.Command{Use: "plan -f FILE", Short: "Show what apply would create, change and delete", GroupID: groupRegions, Args: takes(0, 0),
		Long: "Show what would be created, changed and deleted, what it costs a month, and what stands in the way. Nothing is changed.\n" +
			"What the file leaves out of kubernetes (version, nodes.count, nodes.size) is shown as it is to be: as the region has it, or by\n" +
			"the provider's defaults; so is cidr, for which a range is found that no other region has. Exits with 1 when something stands in the way.",
		Example: "  m3o plan -f deploy/local/platform.yaml\n  m3o plan -f platform.yaml --destroy --json",
		RunE: action(func(s *session, _ []string) error {
			file, err := f.read(s.cmd)
			if err != nil {
				return err
			}
			plan, err := s.api.CreatePlan(s.ctx(), client.PlanRequest{File: file.text, Destroy: f.destroy, Keep: f.keep})
			if err != nil {
				return err
			}
			if s.json {
				err = printJSON(s.out, plan)
			} else {
				err = printPlan(s.out, plan)
			}
			return errors.Join(err, blocked(plan))
		})}
	f.bind(cmd)
	cmd.Flags().BoolVar(&f.destroy, "destroy", false, "plan to take down every region of the file")
	return cmd
}

// blocked says that a plan cannot be carried out.
func blocked(plan region.Plan) error {
	if !plan.Blocked() {
		return nil
	}
	var lines []string
	for _, step := range plan.Steps {
		for _, o := range step.Obstacles {
			lines = append(lines, fmt.Sprintf("\n  %s: %s (%s)", step.Region.Name, o.Message, o.Kind))
		}
	}
	return fault.New(fault.Conflict, "the plan cannot be carried out:%s", strings.Join(lines, ""))
}

// printPlan prints the steps of a plan, and what the operator should know of them. What stands in their way blocked says.
func printPlan(w io.Writer, plan region.Plan) error {
	if len(plan.Steps) == 0 {
		_, err := fmt.Fprintln(w, "no changes")
		return err
	}
	rows := make([][]string, len(plan.Steps))
	for i, step := range plan.Steps {
		r := step.Region
		rows[i] = []string{string(step.Action), r.Name, string(r.Provider), r.Location, nodes(r.Kubernetes.Nodes), dash(r.Kubernetes.Version),
			dash(r.CIDR), cost(step), strings.Join(step.Changes, ", ")}
	}
	if err := table(w, []string{"action", "name", "provider", "region", "nodes", "kubernetes", "cidr", "monthly", "changes"}, rows); err != nil {
		return err
	}
	count := map[region.Action]int{}
	for _, step := range plan.Steps {
		count[step.Action]++
		for _, words := range step.Warnings {
			fmt.Fprintf(w, "\nWarning, %s: %s\n", step.Region.Name, words)
		}
	}
	_, err := fmt.Fprintf(w, "\n%d to create, %d to change, %d to delete. %s\n", count[region.Create], count[region.Change], count[region.Delete], total(plan))
	return err
}

// nodes has a dash for what the platform file leaves out, where the cloud could not be asked about it.
func nodes(n region.Nodes) string {
	count := ""
	if n.Count > 0 {
		count = number(n.Count)
	}
	return dash(count) + " x " + dash(n.Size)
}

func cost(step region.Step) string {
	if step.Monthly.Amount == "" {
		return "-"
	}
	return step.Monthly.Amount + " " + step.Monthly.Currency
}

// total adds up what the steps cost a month, exactly.
func total(plan region.Plan) string {
	sum, currency := new(big.Rat), ""
	for _, step := range plan.Steps {
		amount, ok := new(big.Rat).SetString(step.Monthly.Amount)
		if !ok {
			continue
		}
		if currency != "" && currency != step.Monthly.Currency {
			return ""
		}
		sum.Add(sum, amount)
		currency = step.Monthly.Currency
	}
	if currency == "" {
		return ""
	}
	return fmt.Sprintf("Estimate from list prices: %s %s a month, without traffic.", sum.FloatString(2), currency)
}

func applyCommand() *cobra.Command {
	var f planFlags
	cmd := &cobra.Command{Use: "apply -f FILE", Short: "Create, change and delete regions to match a platform file", GroupID: groupRegions, Args: takes(0, 0),
		Long: "Plan, ask, carry the plan out, and wait until every region of the file has settled. Leave with Ctrl-C: the work goes on,\n" +
			"and the same command waits for it again.",
		Example: "  m3o apply -f deploy/local/platform.yaml --yes",
		RunE:    action(func(s *session, _ []string) error { return s.bringAbout(&f) })}
	f.bind(cmd)
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&f.keep, "keep", false, "leave a region whose bootstrap fails as it is, for a look at it")
	return cmd
}

func destroyCommand() *cobra.Command {
	f := planFlags{destroy: true}
	cmd := &cobra.Command{Use: "destroy -f FILE", Short: "Take down every region of a platform file", GroupID: groupRegions, Args: takes(0, 0),
		Long:    "Take down every region that the file lists, with all that runs there, and wait until they are gone. Leave with Ctrl-C: the\nwork goes on.",
		Example: "  m3o destroy -f deploy/local/platform.yaml",
		RunE:    action(func(s *session, _ []string) error { return s.bringAbout(&f) })}
	f.bind(cmd)
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask")
	return cmd
}

// rounds bounds how often a command plans: again when the world moved under a plan, or when what was in the way is gone.
const rounds = 20

// bringAbout plans and applies until there is nothing left to do and every region has settled.
func (s *session) bringAbout(f *planFlags) error {
	s.patient()
	s.again = "m3o region list"
	file, err := f.read(s.cmd)
	if err != nil {
		return err
	}
	var agreed []region.Step
	for range rounds {
		plan, list, err := s.plan(file, f)
		if err != nil {
			return err
		}
		again, err := s.carryOut(f, plan, list, &agreed)
		if again && err == nil {
			continue
		}
		return errors.Join(s.printOutcome(plan, list, err), err)
	}
	return fault.New(fault.Conflict, "the regions kept changing while %d plans were made; look with `m3o region list`, then try again", rounds)
}

// plan makes a plan, and lists the regions to wait for: its steps', and those of the file that are on their way.
func (s *session) plan(file platformFile, f *planFlags) (region.Plan, []*awaited, error) {
	plan, err := s.api.CreatePlan(s.ctx(), client.PlanRequest{File: file.text, Destroy: f.destroy, Keep: f.keep})
	if err != nil {
		return plan, nil, err
	}
	lines, err := s.api.Regions(s.ctx(), "")
	if err != nil {
		return plan, nil, err
	}
	var list []*awaited
	for _, step := range plan.Steps {
		a, err := s.awaitStep(step, lines)
		if err != nil {
			return plan, nil, err
		}
		list = append(list, a)
	}
	for _, line := range lines {
		known := slices.ContainsFunc(list, func(a *awaited) bool { return a.key == line.Key() })
		if !known && slices.Contains(file.keys, line.Key()) && !f.destroy {
			leaving := line.Status == region.Deleting
			list = append(list, &awaited{key: line.Key(), line: line, gone: leaving, returns: leaving})
		}
	}
	return plan, list, nil
}

// awaitStep is what a step's outcome is known by.
func (s *session) awaitStep(step region.Step, lines []client.RegionLine) (*awaited, error) {
	spec := step.Region
	a := &awaited{key: spec.Key(), gone: step.Action == region.Delete, line: client.RegionLine{Name: spec.Name, Platform: spec.Platform,
		Provider: spec.Provider, Region: spec.Location, Status: region.Planned}}
	if at := slices.IndexFunc(lines, func(l client.RegionLine) bool { return l.Key() == a.key }); at >= 0 {
		a.line = lines[at]
	}
	if step.Action == region.Create {
		return a, nil
	}
	if step.Action == region.Change {
		a.want = &spec
	}
	r, err := s.record(lines, a.key)
	a.after = r.Version
	return a, err
}

// carryOut shows a plan, asks, has it carried out and waits. It reports whether to plan again: when the world moved, or
// when a region that is wanted was on its way out.
func (s *session) carryOut(f *planFlags, plan region.Plan, list []*awaited, agreed *[]region.Step) (again bool, err error) {
	switch {
	case len(plan.Steps) > 0 && !f.underWay(list):
		if err := s.agree(f, plan, agreed); err != nil {
			return false, err
		}
		if moved, err := s.order(plan); moved || err != nil {
			return moved, err
		}
	case !slices.ContainsFunc(list, func(a *awaited) bool { return a.line.Status.Moving() }):
		fmt.Fprintln(s.text(), "no changes")
		return false, nil
	default:
		fmt.Fprintln(s.err, "No changes to order; waiting for what is under way.")
	}
	if err := s.awaitRegions(list); err != nil {
		return false, err
	}
	return slices.ContainsFunc(list, func(a *awaited) bool { return a.returns }), nil
}

// text is where sentences for people go.
func (s *session) text() io.Writer {
	if s.json {
		return s.err
	}
	return s.out
}

// underWay reports whether all that a plan would delete is being deleted already.
func (f *planFlags) underWay(list []*awaited) bool {
	return f.destroy && !slices.ContainsFunc(list, func(a *awaited) bool { return a.line.Status != region.Deleting })
}

// agree shows the plan and asks, unless it is what was agreed to before.
func (s *session) agree(f *planFlags, plan region.Plan, agreed *[]region.Step) error {
	if sameSteps(*agreed, plan.Steps) {
		return nil
	}
	if err := printPlan(s.err, plan); err != nil {
		return err
	}
	if err := blocked(plan); err != nil {
		return err
	}
	question := "Carry it out?"
	if f.destroy {
		question = fmt.Sprintf("Take down %d regions, with all that runs there?", len(plan.Steps))
	}
	if err := s.confirm(f.yes, question); err != nil {
		return err
	}
	*agreed = plan.Steps
	return nil
}

// sameSteps reports whether two plans would do the same; what is in the changes of a region's status does not count.
func sameSteps(a, b []region.Step) bool {
	return slices.EqualFunc(a, b, func(x, y region.Step) bool {
		specs, _ := region.Differences(x.Region, y.Region)
		return x.Action == y.Action && x.Region.Key() == y.Region.Key() && len(specs) == 0 && len(y.Obstacles) == 0
	})
}

// order has the plan carried out; moved says that the world is no longer the one it was made from.
func (s *session) order(plan region.Plan) (moved bool, err error) {
	_, err = s.api.ApplyPlan(s.ctx(), plan.ID)
	if !fault.Is(err, fault.Conflict) {
		return false, err
	}
	now, lookErr := s.api.Plan(s.ctx(), plan.ID)
	if lookErr != nil || now.Status != region.PlanStale {
		return false, err
	}
	fmt.Fprintln(s.err, "The regions changed since the plan was made: planning again.")
	select {
	case <-s.ctx().Done():
		return false, s.ctx().Err()
	case <-time.After(lookSoon):
		return true, nil
	}
}

// applied is what apply and destroy print as JSON.
type applied struct {
	Plan    region.Plan         `json:"plan"`
	Regions []client.RegionLine `json:"regions"`
}

// printOutcome prints how it ended, as far as it began.
func (s *session) printOutcome(plan region.Plan, list []*awaited, err error) error {
	lines := make([]client.RegionLine, len(list))
	for i, a := range list {
		lines[i] = a.line
	}
	slices.SortFunc(lines, func(a, b client.RegionLine) int { return strings.Compare(a.Key().String(), b.Key().String()) })
	switch {
	case err != nil && !fault.Is(err, fault.Failed) && !plan.Blocked():
		return nil
	case s.json:
		return printJSON(s.out, applied{Plan: plan, Regions: lines})
	case err != nil || len(lines) == 0:
		return nil
	}
	return printRegions(s.out, lines)
}
