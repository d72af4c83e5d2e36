package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/release"
)

// testdata stays where it is when a test changes the folder.
var testdata, _ = filepath.Abs("testdata")

// golden compares a text with the file of that name in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join(testdata, name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	have, wanted := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(have), len(wanted)) {
		if a, b := nthLine(have, i), nthLine(wanted, i); a != b {
			t.Fatalf("%s, line %d, is\n%s\nnot\n%s\nIf that is right, run the test with -update and read the file.", path, i+1, a, b)
		}
	}
}

func nthLine(lines []string, i int) string {
	if i >= len(lines) {
		return "(nothing)"
	}
	return lines[i]
}

// display is a terminal: it does what the board asks for, and shows what a person would see.
type display struct {
	columns, height int
	lines           [][]rune
	row             int
	below           int // how often the cursor was sent above what the terminal still shows
}

var upAndClear = regexp.MustCompile(`^\x1b\[(\d+)A\x1b\[J`)

func (d *display) Write(p []byte) (int, error) {
	text := string(p)
	for text != "" {
		if m := upAndClear.FindStringSubmatch(text); m != nil {
			n, _ := strconv.Atoi(m[1])
			if n >= d.height {
				d.below++
			}
			d.row = max(0, d.row-n)
			d.lines = d.lines[:min(len(d.lines), d.row)]
			text = text[len(m[0]):]
			continue
		}
		r := []rune(text)[0]
		text = text[len(string(r)):]
		for len(d.lines) <= d.row {
			d.lines = append(d.lines, nil)
		}
		switch {
		case r == '\n':
			d.row++
		case columnsOf(string(d.lines[d.row]))+columnsOfRune(r) > d.columns:
			d.row++
			d.lines = append(d.lines, []rune{r})
		default:
			d.lines[d.row] = append(d.lines[d.row], r)
		}
	}
	return len(p), nil
}

// resize wraps again what is there, as terminals do.
func (d *display) resize(columns int) {
	d.columns = columns
	lines := d.lines
	d.lines, d.row = nil, 0
	for _, line := range lines {
		_, _ = io.WriteString(d, string(line)+"\n")
	}
}

func (d *display) String() string {
	var out strings.Builder
	for _, line := range d.lines {
		fmt.Fprintln(&out, strings.TrimRight(string(line), " "))
	}
	return out.String()
}

// boardAt is a board whose clock the test moves.
func boardAt(out io.Writer, live bool, columns, lines int) (*board, func(time.Duration)) {
	b := newBoard(out)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b.live, b.began, b.now, b.size = live, at, func() time.Time { return at }, func() (int, int) { return columns, lines }
	return b, func(d time.Duration) { at = at.Add(d) }
}

func TestWithoutATerminalEveryChangeIsALine(t *testing.T) {
	var out strings.Builder
	b, pass := boardAt(&out, false, 80, 24)
	b.show([]boardRow{{name: "lon1", status: "creating", detail: "network"}, {name: "nyc3", status: "creating"}})
	pass(time.Second)
	b.show([]boardRow{{name: "lon1", status: "creating", detail: "network"}, {name: "nyc3", status: "creating", seen: "0 of 1"}})
	pass(lasts - time.Second)
	b.show([]boardRow{{name: "lon1", status: "creating", detail: "network"}, {name: "nyc3", status: "creating", seen: "no room"}})
	pass(lasts)
	b.show([]boardRow{{name: "lon1", status: "creating", detail: "network"}, {name: "nyc3", status: "creating", seen: "no room"}})
	pass(59 * time.Second)
	b.show([]boardRow{{name: "lon1", status: "ready", done: true}, {name: "nyc3", status: "creating", seen: "1 of 1"}})
	pass(time.Second)
	b.show([]boardRow{{name: "lon1", status: "ready", done: true}, {name: "nyc3", status: "ready", done: true}})
	_, _ = fmt.Fprint(b, "log\nhalf")
	b.close()
	want := "lon1         creating   network  0s\nnyc3         creating  0s\nnyc3         creating   no room  6s\nlon1         ready  1m05s\nnyc3         ready  1m06s\nlog\nhalf\n"
	if out.String() != want {
		t.Errorf("%q\nnot %q", out.String(), want)
	}
}

// A release of a build, as its owner tells of it: the stages of lon1 and nyc3 in one frame each.
func deployFrames(show func(what string, r release.Release, p release.Progress)) {
	r := release.Release{Service: release.Key{Project: "default", Name: "hello"}, Number: 4, Status: release.Pending}
	show("another release is being deployed", r, release.Progress{Release: 3, Stage: release.StageRollout})
	r.Status, r.Regions = release.Deploying, []release.Placed{{Region: "micro/lon1", Status: release.Pending}, {Region: "micro/nyc3", Status: release.Pending}}
	p := release.Progress{Release: 4, Stage: release.StageImage, Waiting: "waits for a builder: 2 builds are before it"}
	show("the build waits", r, p)
	p.Waiting = ""
	show("the build runs", r, p)
	p.Stage = release.StageRollout
	placing := func(stage release.PlaceStage, waits string) release.Placing {
		return release.Placing{Status: release.Deploying, Stage: stage, Waiting: waits}
	}
	rollout := func(what string, lon1, nyc3 release.Placing) {
		lon1.Region, nyc3.Region = "micro/lon1", "micro/nyc3"
		p.Regions = []release.Placing{lon1, nyc3}
		show(what, r, p)
	}
	rollout("the regions begin", placing(release.PlaceApply, ""), placing(release.PlaceApply, ""))
	rollout("lon1 is ahead", placing(release.PlaceInstances, "1 of 3 instances ready"), placing(release.PlaceApply, "the cluster does not answer (retried)"))
	rollout("nyc3 is through first", placing(release.PlaceInstances, "2 of 3 instances ready: nothing answers on port 8080: listen on $PORT (on all addresses)"), release.Placing{Status: release.Ready})
	rollout("lon1 fails", release.Placing{Status: release.Failed, Message: "lon1: the program ends with exit code 3; its last words:\n\x1b[31mpanic: \u202eno\x1b[0m"}, release.Placing{Status: release.Ready})
	p.Stage = release.StageRollback
	rollout("all go back", placing(release.PlaceApply, ""), placing(release.PlaceInstances, "0 of 3 instances ready"))
	for i := range r.Regions {
		r.Regions[i].Status = release.RolledBack
	}
	r.Status, r.Regions[0].Message = release.RolledBack, "lon1: the program ends with exit code 3"
	show("the end", r, release.Progress{})
}

func TestTheTableOfADeploy(t *testing.T) {
	var frames strings.Builder
	for _, columns := range []int{100, 40} {
		d := &display{columns: columns, height: 24}
		b, pass := boardAt(d, true, columns, 24)
		b.stages = deployStages(true)
		deployFrames(func(what string, r release.Release, p release.Progress) {
			b.show(deployRows(r, p, b.stages))
			pass(2 * time.Second)
			if what == "the build runs" {
				_, _ = io.WriteString(b.logWriter(), "$ go build ./cmd/server\ngo: downloading golang.org/x/net v0.30.0\ngo: down")
			}
			if what == "lon1 is ahead" {
				_, _ = io.WriteString(b, "m3o: the API does not answer; retrying for 2m0s\n")
			}
			b.show(deployRows(r, p, b.stages))
			fmt.Fprintf(&frames, "--- %d columns: %s\n%s", columns, what, d)
		})
		b.close()
	}
	golden(t, "deploy_table.golden", frames.String())
}

func TestTheLinesOfADeploy(t *testing.T) {
	var out strings.Builder
	b, pass := boardAt(&out, false, 80, 24)
	b.stages = deployStages(true)
	deployFrames(func(_ string, r release.Release, p release.Progress) {
		for range 3 {
			b.show(deployRows(r, p, b.stages))
			pass(lasts / 2)
		}
	})
	b.close()
	golden(t, "deploy_lines.golden", out.String())
}

func TestATableThatIsHigherThanTheTerminal(t *testing.T) {
	d := &display{columns: 70, height: 10}
	b, pass := boardAt(d, true, 70, 10)
	b.stages = deployStages(false)
	rows := []boardRow{{name: "release 1", status: "rollout", title: true}}
	for i := range 20 {
		row := boardRow{name: fmt.Sprintf("region-%02d", i), status: "instances", seen: strings.Repeat("no room ", 30), at: 2}
		if i < 12 {
			row = boardRow{name: row.name, status: "ready", done: true, at: 4}
		}
		rows = append(rows, row)
	}
	for range 3 {
		b.show(rows)
		pass(time.Second)
	}
	lines := strings.Split(strings.TrimSpace(d.String()), "\n")
	if len(lines) > 9 || d.below > 0 {
		t.Errorf("%d lines, and %d drawings that a terminal of 10 cannot take back:\n%s", len(lines), d.below, d)
	}
	for _, words := range []string{"release 1", "region-12", "… and 14 more: 2 instances, 12 ready"} {
		if !strings.Contains(d.String(), words) {
			t.Errorf("%q is not shown:\n%s", words, d)
		}
	}
}

func TestATerminalThatBecomesNarrower(t *testing.T) {
	d := &display{columns: 100, height: 24}
	b, _ := boardAt(d, true, 100, 24)
	rows := []boardRow{{name: "lon1", status: "creating", detail: strings.Repeat("x", 200)}, {name: "日本", status: "creating", detail: strings.Repeat("世界", 60)}}
	b.show(rows)
	d.resize(30)
	b.size = func() (int, int) { return 30, 24 }
	b.show(rows)
	b.show(rows)
	if got := strings.Split(strings.TrimSpace(d.String()), "\n"); len(got) != 2 {
		t.Errorf("what was drawn before is left:\n%s", d)
	}
}

func TestOnATerminalTheLogIsShownWhenTheBuildFails(t *testing.T) {
	d := &display{columns: 80, height: 24}
	b, _ := boardAt(d, true, 80, 24)
	b.show([]boardRow{{name: "release 1", status: "build"}})
	_, _ = io.WriteString(b.logWriter(), "one\ntwo\x1b[2J\nthr")
	if got := d.String(); strings.Contains(got, "one") || !strings.Contains(got, "two[2J") {
		t.Errorf("the last line alone is to be shown:\n%s", got)
	}
	b.showLog()
	b.close()
	if got := d.String(); !strings.HasPrefix(got, "one\ntwo[2J\nthr\nrelease 1") {
		t.Errorf("all of it is to be shown:\n%s", got)
	}
	if !b.hasShown("two\x1b[2J\n  one\n") || b.hasShown("two\nfour") {
		t.Error("what was shown is not known")
	}
}

func TestALogLineIsBounded(t *testing.T) {
	var out strings.Builder
	b, _ := boardAt(&out, false, 80, 24)
	for range 3 {
		_, _ = fmt.Fprint(b, strings.Repeat("x", 40<<10))
	}
	if len(b.above.rest) > longestLine || !strings.Contains(out.String(), "x\n") {
		t.Errorf("%d bytes are kept", len(b.above.rest))
	}
	for range 3 << 10 {
		_, _ = io.WriteString(b.logWriter(), strings.Repeat("x", 1<<10)+"\n")
	}
	if n := len(b.log.text()); n > maxLog+2<<10 {
		t.Errorf("%d bytes of a log are kept", n)
	}
}

func TestTablesStayTables(t *testing.T) {
	var out strings.Builder
	if err := table(&out, []string{"name", "message"}, [][]string{{"a", "two\nlines\tand \x1b[31mred"}, {"longer", ""}}); err != nil {
		t.Fatal(err)
	}
	if want := "NAME    MESSAGE\na       two lines and [31mred\nlonger\n"; out.String() != want {
		t.Errorf("%q\nnot %q", out.String(), want)
	}
}

func TestAges(t *testing.T) {
	for d, want := range map[time.Duration]string{-time.Second: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m01s", 90 * time.Minute: "1h", 50 * time.Hour: "2d"} {
		if got := age(d); got != want {
			t.Errorf("%s is %q, not %q", d, got, want)
		}
	}
}

// An owner that is too busy to answer is where it was: the lines of a deploy do not go to and fro.
func TestADeployWhoseOwnerIsBusyStaysWhereItWas(t *testing.T) {
	var a asking
	a.hear(release.Progress{Release: 4, Stage: release.StageImage}, 4)
	for _, silent := range []release.Progress{{}, {Release: 4}} {
		if a.hear(silent, 4); a.said.Stage != release.StageImage {
			t.Errorf("after %+v it is at %q", silent, a.said.Stage)
		}
	}
	if a.hear(release.Progress{Release: 4, Stage: release.StageRollout}, 4); a.said.Stage != release.StageRollout {
		t.Errorf("it goes on to %q", a.said.Stage)
	}
	if a.hear(release.Progress{Release: 5}, 4); a.said.Release != 5 {
		t.Errorf("another release's turn is not heard: %+v", a.said)
	}
}
