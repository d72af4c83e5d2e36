package region_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/region"
)

var phases = []region.Phase{region.Recalling, region.Adopting, region.Idle, region.Starting, region.Bootstrapping, region.Repeating, region.Removing}

var phaseEvents = []region.PhaseEvent{region.Recalled, region.BootstrapTaken, region.TeardownTaken, region.BootstrapRunning, region.RetryMissed, region.OperationEnded}

// TestEveryEventIsListedForAPhaseOrRefused holds the code to the table in Phase's comment, pair by pair.
func TestEveryEventIsListedForAPhaseOrRefused(t *testing.T) {
	table := documented(t, "phase.go", map[string]string{"recalling": ""})
	listed := 0
	for _, p := range phases {
		for _, e := range phaseEvents {
			want, ok := table[[2]string{string(p), strings.ReplaceAll(string(e), " ", "")}]
			got, err := p.After(e)
			switch {
			case ok && (err != nil || string(got) != want):
				t.Errorf("%q, %q: next is %q, %v; the comment says %q", p, e, got, err, want)
			case !ok && err == nil:
				t.Errorf("%q, %q: next is %q; the comment does not list it", p, e, got)
			case !ok && (got != p || !strings.Contains(err.Error(), string(e))):
				t.Errorf("%q, %q: refused with %v, now %q", p, e, err, got)
			}
			if ok {
				listed++
			}
		}
	}
	if listed != len(table) || listed == 0 {
		t.Errorf("the comment has %d rows, of which %d are about phases and events there are", len(table), listed)
	}
}

// documented reads the table in the comment of the type Phase: (phase, event in lower case) to next phase.
func documented(t *testing.T, file string, values map[string]string) map[[2]string]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	table := map[[2]string]string{}
	value := func(name string) string {
		if v, ok := values[name]; ok {
			return v
		}
		return name
	}
	for _, d := range parsed.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Doc == nil || !strings.HasPrefix(g.Doc.Text(), "Phase is") {
			continue
		}
		for line := range strings.Lines(g.Doc.Text()) {
			row, ok := strings.CutPrefix(line, "\t")
			if cells := columns(row); ok && len(cells) >= 3 && cells[0] != "phase" {
				table[[2]string{value(cells[0]), strings.ToLower(cells[1])}] = value(cells[2])
			}
		}
	}
	return table
}

// columns are the cells of a row, which two spaces or more separate.
func columns(row string) []string {
	var cells []string
	for _, cell := range strings.Split(row, "  ") {
		if cell = strings.TrimSpace(cell); cell != "" {
			cells = append(cells, cell)
		}
	}
	return cells
}
