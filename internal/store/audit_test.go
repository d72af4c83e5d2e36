package store_test

import (
	"testing"

	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/store"
)

func TestAnAuditEntryIsConcludedOnce(t *testing.T) {
	s := fresh(t)
	var seqs []int64
	for range 2 {
		seq, err := s.AppendAudit(t.Context(), event.Audit{Subject: "ada", Action: "kill-service"})
		must(t, err)
		seqs = append(seqs, seq)
	}
	must(t, s.ConcludeAudit(t.Context(), seqs[0], 202, ""))
	must(t, s.ConcludeAudit(t.Context(), seqs[0], 500, ""))
	entries, _, err := s.Audits(t.Context(), store.Page{})
	must(t, err)
	if len(entries) != 2 || entries[0].Status != 0 || entries[1].Status != 202 || entries[1].Seq != seqs[0] {
		t.Errorf("got %+v", entries)
	}
}
