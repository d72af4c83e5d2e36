package store

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/m3o/platform/internal/fault"
)

// Sizes of a page.
const (
	DefaultLimit = 50
	MaxLimit     = 200
)

// Page asks for a part of a list: at most Limit entries (DefaultLimit when 0) after Cursor, which is empty for the first
// page and else what the page before returned. A list that returns an empty cursor is at its end.
type Page struct {
	Cursor string
	Limit  int
}

func (p Page) limit() (int, error) {
	switch {
	case p.Limit == 0:
		return DefaultLimit, nil
	case p.Limit < 0 || p.Limit > MaxLimit:
		return 0, badField("limit", fmt.Sprintf("%d is not between 1 and %d", p.Limit, MaxLimit))
	}
	return p.Limit, nil
}

// position is what a cursor says: in which list, and after which entry. A cursor of one list is refused by another.
type position[K any] struct {
	List  string `json:"l"`
	After K      `json:"a"`
}

func cursorAfter[K any](list string, key K) (string, error) {
	text, err := encode(position[K]{List: list, After: key})
	return base64.RawURLEncoding.EncodeToString([]byte(text)), err
}

// after returns the key that the page begins after, and whether it has one.
func after[K any](p Page, list string) (key K, has bool, err error) {
	if p.Cursor == "" {
		return key, false, nil
	}
	data, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err != nil {
		return key, false, badCursor()
	}
	var at position[K]
	if json.Unmarshal(data, &at) != nil || at.List != list {
		return key, false, badCursor()
	}
	return at.After, true, nil
}

func badCursor() error { return badField("cursor", "is not one that this list returned") }

func badField(field, message string) error {
	return fault.Problems([]fault.Problem{{Field: field, Message: message}})
}

// cut ends a list that was read one row beyond its limit, and returns the last row if there are more.
func cut[T any](rows []T, limit int) ([]T, *T) {
	if len(rows) <= limit {
		return rows, nil
	}
	return rows[:limit], &rows[limit-1]
}
