// Package sandboxtest starts sandboxes for tests, and reads the ledger of a running one: whether everything was made once and deleted once,
// whichever cloud it was. Only tests import it.
package sandboxtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/m3o/platform/internal/sandbox/world"
)

// Accounts are what the ledger says of everything that was ever made. The zero value has read nothing.
type Accounts struct {
	Created, Deleted int

	seq    int64                   // the last line that was read
	living map[string]world.Effect // by provider, kind and id
	asked  map[string]string       // what is there by request, by provider, kind, parent and name
}

// Read reads the lines that the sandbox with these control routes has written since the last time, and returns what is wrong with them.
func (a *Accounts) Read(control string) (wrong []string, err error) {
	for {
		lines, err := effects(control, a.seq)
		if err != nil || len(lines) == 0 {
			return wrong, err
		}
		wrong = append(wrong, a.take(lines)...)
	}
}

// Effects is the whole ledger.
func Effects(control string) (all []world.Effect, err error) {
	for since := int64(0); ; since = all[len(all)-1].Seq {
		lines, err := effects(control, since)
		if err != nil || len(lines) == 0 {
			return all, err
		}
		all = append(all, lines...)
	}
}

func effects(control string, since int64) (all []world.Effect, err error) {
	resp, err := http.Get(fmt.Sprintf("%s/_sandbox/effects?since=%d", control, since))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read the ledger: %s", resp.Status)
	}
	for d := json.NewDecoder(resp.Body); d.More(); {
		var e world.Effect
		if err := d.Decode(&e); err != nil {
			return nil, fmt.Errorf("read the ledger: %w", err)
		}
		all = append(all, e)
	}
	return all, nil
}

// take reads lines in their order.
func (a *Accounts) take(lines []world.Effect) (wrong []string) {
	if a.living == nil {
		a.living, a.asked = map[string]world.Effect{}, map[string]string{}
	}
	for _, e := range lines {
		a.seq = e.Seq
		id := e.Provider + " " + e.Resource + " " + e.ID
		was, there := a.living[id]
		switch {
		case e.Kind == "created" && there:
			wrong = append(wrong, fmt.Sprintf("%s was created twice", id))
		case e.Kind == "created":
			a.Created++
			a.living[id] = e
			if e.Key == "" || e.Name == "" { // the cloud's own, or known by its id alone
				continue
			}
			if other, two := a.asked[name(e)]; two {
				wrong = append(wrong, fmt.Sprintf("there are two of %s: %s and %s", name(e), other, e.ID))
			}
			a.asked[name(e)] = e.ID
		case e.Kind == "deleted" && !there:
			wrong = append(wrong, fmt.Sprintf("%s was deleted, and was not there", id))
		case e.Kind == "deleted":
			a.Deleted++
			delete(a.living, id)
			delete(a.asked, name(was))
		}
	}
	return wrong
}

func name(e world.Effect) string {
	return e.Provider + " " + e.Resource + " " + e.Parent + " " + e.Name
}

// Left is what was made and not deleted.
func (a *Accounts) Left() (all []string) {
	for id, e := range a.living {
		all = append(all, id+" ("+e.Name+")")
	}
	slices.Sort(all)
	return all
}
