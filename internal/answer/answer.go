// Package answer remembers what an entity answered to its last commands. Temporal forgets update ids when a run ends;
// callers that ask again do not. It is plain data that a workflow carries over when it continues as new.
package answer

// Limit is how many answers a book keeps.
const Limit = 100

// Book holds answers by the id of the command, oldest first. The zero Book is empty and ready.
type Book[A any] struct {
	ByID  map[string]A `json:"by_id,omitempty"`
	Order []string     `json:"order,omitempty"`
}

// Find returns the answer given to id.
func (b *Book[A]) Find(id string) (A, bool) {
	a, ok := b.ByID[id]
	return a, ok
}

// Remember keeps the answer to id, and forgets the oldest beyond Limit.
func (b *Book[A]) Remember(id string, a A) {
	if b.ByID == nil {
		b.ByID = map[string]A{}
	}
	if _, known := b.ByID[id]; !known {
		b.Order = append(b.Order, id)
	}
	b.ByID[id] = a
	for len(b.Order) > Limit {
		delete(b.ByID, b.Order[0])
		b.Order = b.Order[1:]
	}
}
