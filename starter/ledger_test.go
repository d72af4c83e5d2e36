//go:build embedded

package main

import (
	"fmt"
	"testing"
)

// accounts is what the ledger of the clouds says of everything that was ever made: made once, deleted once.
type accounts struct {
	seq              int64             // the last line that was read
	living           map[string]effect // by provider, kind and id
	asked            map[string]string // what is there by request, by provider, kind, parent and name
	created, deleted int
}

func newAccounts() *accounts {
	return &accounts{living: map[string]effect{}, asked: map[string]string{}}
}

// take reads further lines, in their order, and returns what is wrong with them.
func (a *accounts) take(lines []effect) (wrong []string) {
	for _, e := range lines {
		a.seq = e.Seq
		id := e.Provider + " " + e.Resource + " " + e.ID
		name := e.Provider + " " + e.Resource + " " + e.Parent + " " + e.Name
		was, there := a.living[id]
		switch {
		case e.Kind == "created" && there:
			wrong = append(wrong, fmt.Sprintf("%s was created twice", id))
		case e.Kind == "created":
			a.created++
			a.living[id] = e
			if e.Key == "" || e.Name == "" { // the cloud's own, or known by its id alone
				continue
			}
			if other, two := a.asked[name]; two {
				wrong = append(wrong, fmt.Sprintf("there are two of %s: %s and %s", name, other, e.ID))
			}
			a.asked[name] = e.ID
		case e.Kind == "deleted" && !there:
			wrong = append(wrong, fmt.Sprintf("%s was deleted, and was not there", id))
		case e.Kind == "deleted":
			a.deleted++
			delete(a.living, id)
			delete(a.asked, was.Provider+" "+was.Resource+" "+was.Parent+" "+was.Name)
		}
	}
	return wrong
}

// left is what was made and not deleted.
func (a *accounts) left() (all []string) {
	for id, e := range a.living {
		all = append(all, id+" ("+e.Name+")")
	}
	return all
}

func TestTheLedgersAccountsAreKept(t *testing.T) {
	vpc := func(seq int64, kind, id, name, key string) effect {
		return effect{Seq: seq, Provider: "aws", Kind: kind, Resource: "vpc", ID: id, Name: name, Key: key}
	}
	a := newAccounts()
	if wrong := a.take([]effect{vpc(1, "created", "v1", "a", "k"), vpc(2, "updated", "v1", "a", "k"), vpc(3, "deleted", "v1", "a", "k"), vpc(4, "created", "v2", "a", "k")}); len(wrong) > 0 {
		t.Errorf("one after the other: %v", wrong)
	}
	if left := a.left(); len(left) != 1 || a.created != 2 || a.deleted != 1 || a.seq != 4 {
		t.Errorf("left %v, %+v", left, a)
	}
	if wrong := a.take([]effect{vpc(5, "created", "v3", "a", "k"), vpc(6, "created", "v3", "b", "k"), vpc(7, "deleted", "v9", "c", "k"), vpc(8, "created", "v4", "a", "")}); len(wrong) != 3 {
		t.Errorf("two of a name, one id twice, and what was not there: %v", wrong)
	}
}
