package world

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Tx is one transaction. It must not be used after the function it was given to.
type Tx struct {
	tx    *sql.Tx
	clock Clock
}

// Ref names a resource, or with an empty ID a kind of them.
type Ref struct {
	Provider, Kind, ID string
}

// Meta is what is known of every resource beside its document.
type Meta struct {
	// Name is what people and faults call it.
	Name string
	// Parent is the id of what it lives in, if anything.
	Parent string
}

// put numbers resources by their age.
const put = `INSERT INTO resource (provider, kind, id, parent, name, doc, serial)
	VALUES (?, ?, ?, ?, ?, ?, (SELECT COALESCE(MAX(serial), 0) + 1 FROM resource))
	ON CONFLICT (provider, kind, id) DO UPDATE SET parent = excluded.parent, name = excluded.name, doc = excluded.doc`

// Put writes a resource, new or not.
func (t *Tx) Put(ref Ref, meta Meta, doc any) error {
	data, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("write %s %s: %w", ref.Kind, ref.ID, err)
	}
	_, err = t.tx.Exec(put, ref.Provider, ref.Kind, ref.ID, meta.Parent, meta.Name, string(data))
	if err != nil {
		return fmt.Errorf("write %s %s: %w", ref.Kind, ref.ID, err)
	}
	return nil
}

// Delete removes a resource. ErrNotFound if there is none.
func (t *Tx) Delete(ref Ref) error {
	result, err := t.tx.Exec(`DELETE FROM resource WHERE provider = ? AND kind = ? AND id = ?`, ref.Provider, ref.Kind, ref.ID)
	if err != nil {
		return fmt.Errorf("delete %s %s: %w", ref.Kind, ref.ID, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fmt.Errorf("%s %s: %w", ref.Kind, ref.ID, ErrNotFound))
	}
	return nil
}

// NameOf returns a resource's name, "" if there is no such resource.
func (t *Tx) NameOf(ref Ref) (string, error) {
	var name string
	err := t.tx.QueryRow(`SELECT name FROM resource WHERE provider = ? AND kind = ? AND id = ?`,
		ref.Provider, ref.Kind, ref.ID).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return name, err
}

// Get reads one resource. ErrNotFound if there is none.
func Get[T any](t *Tx, ref Ref) (T, error) {
	var doc T
	var data string
	err := t.tx.QueryRow(`SELECT doc FROM resource WHERE provider = ? AND kind = ? AND id = ?`,
		ref.Provider, ref.Kind, ref.ID).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return doc, fmt.Errorf("%s %s: %w", ref.Kind, ref.ID, ErrNotFound)
	}
	if err != nil {
		return doc, fmt.Errorf("read %s %s: %w", ref.Kind, ref.ID, err)
	}
	if err := json.Unmarshal([]byte(data), &doc); err != nil {
		return doc, fmt.Errorf("read %s %s: %w", ref.Kind, ref.ID, err)
	}
	return doc, nil
}

// List reads all resources of a kind, oldest first. ref.ID is not looked at.
func List[T any](t *Tx, ref Ref) ([]T, error) {
	rows, err := t.tx.Query(`SELECT doc FROM resource WHERE provider = ? AND kind = ? ORDER BY serial`, ref.Provider, ref.Kind)
	return scanAll[T](rows, err, ref.Kind)
}

// Children reads the resources of a kind in a parent, oldest first. ref.ID is the parent's id.
func Children[T any](t *Tx, ref Ref) ([]T, error) {
	rows, err := t.tx.Query(`SELECT doc FROM resource WHERE provider = ? AND kind = ? AND parent = ? ORDER BY serial`,
		ref.Provider, ref.Kind, ref.ID)
	return scanAll[T](rows, err, ref.Kind)
}

// Newest reads the last n resources of a kind, of that name if it is not empty, oldest first. ref.ID is not looked at.
func Newest[T any](t *Tx, ref Ref, name string, n int) ([]T, error) {
	rows, err := t.tx.Query(`SELECT doc FROM resource WHERE provider = ? AND kind = ? AND ? IN ('', name) ORDER BY serial DESC LIMIT ?`,
		ref.Provider, ref.Kind, name, n)
	docs, err := scanAll[T](rows, err, ref.Kind)
	slices.Reverse(docs)
	return docs, err
}

// Mentioning reads the resources of a kind in whose documents the text is somewhere, without regard to case, oldest first. It saves
// reading all of them to find those that refer to something. ref.ID is not looked at; the text has nothing that JSON escapes.
func Mentioning[T any](t *Tx, ref Ref, text string) ([]T, error) {
	rows, err := t.tx.Query(`SELECT doc FROM resource WHERE provider = ? AND kind = ? AND instr(lower(doc), lower(?)) > 0 ORDER BY serial`,
		ref.Provider, ref.Kind, text)
	return scanAll[T](rows, err, ref.Kind)
}

func scanAll[T any](rows *sql.Rows, err error, kind string) ([]T, error) {
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", kind, err)
	}
	defer rows.Close()
	docs := []T{}
	for rows.Next() {
		var data string
		if err := rows.Scan(&data); err != nil {
			return nil, fmt.Errorf("list %s: %w", kind, err)
		}
		var doc T
		if err := json.Unmarshal([]byte(data), &doc); err != nil {
			return nil, fmt.Errorf("list %s: %w", kind, err)
		}
		docs = append(docs, doc)
	}
	return docs, rows.Err()
}

// Everything returns all resources, as provider -> kind -> documents in order of age.
func (t *Tx) Everything() (map[string]map[string][]json.RawMessage, error) {
	rows, err := t.tx.Query(`SELECT provider, kind, doc FROM resource ORDER BY serial`)
	if err != nil {
		return nil, fmt.Errorf("list everything: %w", err)
	}
	defer rows.Close()
	all := map[string]map[string][]json.RawMessage{}
	for rows.Next() {
		var provider, kind, doc string
		if err := rows.Scan(&provider, &kind, &doc); err != nil {
			return nil, fmt.Errorf("list everything: %w", err)
		}
		if all[provider] == nil {
			all[provider] = map[string][]json.RawMessage{}
		}
		all[provider][kind] = append(all[provider][kind], json.RawMessage(doc))
	}
	return all, rows.Err()
}

// Values are the strings that the documents of all providers' resources have under a name, at any depth.
func (t *Tx) Values(name string) (map[string]bool, error) {
	rows, err := t.tx.Query(`SELECT DISTINCT part.value FROM resource, json_tree(resource.doc) AS part WHERE part.key = ? AND part.type = 'text'`, name)
	if err != nil {
		return nil, fmt.Errorf("look for every %s: %w", name, err)
	}
	defer rows.Close()
	values := map[string]bool{}
	for rows.Next() {
		var value string
		if err := rows.Scan(&value); err != nil {
			return nil, fmt.Errorf("look for every %s: %w", name, err)
		}
		values[value] = true
	}
	return values, rows.Err()
}
