package store

import (
	"testing"

	"github.com/m3o/platform/internal/fault"
)

func FuzzCursor(f *testing.F) {
	number, err := cursorAfter("audits", int64(7))
	if err != nil {
		f.Fatal(err)
	}
	word, err := cursorAfter("services of default", "hello")
	if err != nil {
		f.Fatal(err)
	}
	for _, cursor := range []string{"", "e30", "bnVsbA", "!", number, word} {
		f.Add(cursor, "audits")
	}
	f.Add(word, "services of default")
	f.Fuzz(func(t *testing.T, cursor, list string) {
		read(t, Page{Cursor: cursor}, list, int64(0))
		read(t, Page{Cursor: cursor}, list, "")
	})
}

// read demands that a cursor is refused, or says the same again after it was read and written.
func read[K comparable](t *testing.T, p Page, list string, _ K) {
	key, has, err := after[K](p, list)
	if err != nil {
		if has || !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v, %t, %v", p.Cursor, key, has, err)
		}
		return
	}
	again, err := cursorAfter(list, key)
	if err != nil {
		t.Fatal(err)
	}
	if back, _, err := after[K](Page{Cursor: again}, list); has && (err != nil || back != key) {
		t.Errorf("%q: %v is read back as %v, %v", p.Cursor, key, back, err)
	}
}
