package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// Drift says in words what of the foundations and the parts is not as it was applied: what is missing, what differs and
// what is left over. It asks the API server by dry run what applying again would change, so defaults and what others may
// write do not count; nothing is changed.
func (c *Client) Drift(ctx context.Context, spec region.Spec, in Parts) ([]string, error) {
	in, err := in.complete(spec)
	if err != nil {
		return nil, err
	}
	found, err := c.survey(ctx, spec)
	if err != nil {
		return nil, err
	}
	var drift []string
	for _, o := range append(foundations(spec.Key()), parts(spec, in, found)...) {
		differs, err := c.compare(ctx, o)
		if err != nil {
			return nil, err
		}
		drift = append(drift, differs...)
	}
	absent, err := c.absent(ctx, spec)
	if err != nil {
		return nil, err
	}
	leftovers, err := c.leftovers(ctx, spec)
	if err != nil {
		return nil, err
	}
	for _, l := range leftovers {
		absent = append(absent, "left over: "+described(l.object.GetKind(), l.object.GetNamespace(), l.object.GetName()))
	}
	return append(drift, absent...), nil
}

// compare says how the live object differs from what applying would make of it.
func (c *Client) compare(ctx context.Context, o object) ([]string, error) {
	w, err := prepare(o)
	if err != nil {
		return nil, err
	}
	live, err := c.live(ctx, w)
	if apierrors.IsNotFound(err) {
		return []string{"missing: " + w.String()}, nil
	}
	if err != nil {
		return nil, explain(err, "read %s", w)
	}
	if live.GetDeletionTimestamp() != nil {
		return []string{"being removed: " + w.String()}, nil
	}
	want, err := c.apply(ctx, w, true)
	if fault.Is(err, fault.Exists) || fault.Is(err, fault.Invalid) { // somebody else's, or made anew by hand in a way that cannot be changed
		return []string{fault.Message(err)}, nil
	}
	if err != nil {
		return nil, err
	}
	var differs []string
	difference("", settled(live.Object), settled(want.Object), &differs)
	for i := range differs {
		differs[i] = w.String() + ": " + differs[i]
	}
	return differs, nil
}

// settled is an object without what the API server counts and writes by itself.
func settled(fields map[string]any) map[string]any {
	kept := maps.Clone(fields)
	delete(kept, "status")
	about, _ := kept["metadata"].(map[string]any)
	about = maps.Clone(about)
	for _, name := range []string{"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"} {
		delete(about, name)
	}
	kept["metadata"] = about
	return kept
}

// difference collects where live is not as wanted, field by field; list items that have names are compared by name.
func difference(at string, live, want any, found *[]string) {
	if reflect.DeepEqual(live, want) {
		return
	}
	if a, b, ok := fieldsOf(live, want); ok {
		names := maps.Clone(a)
		maps.Copy(names, b)
		for _, name := range slices.Sorted(maps.Keys(names)) {
			difference(join(at, name), a[name], b[name], found)
		}
		return
	}
	*found = append(*found, fmt.Sprintf("%s %s, wanted %s", at, brief(live), brief(want)))
}

// fieldsOf views both sides as fields by name, if both are objects or both are lists of named objects.
func fieldsOf(a, b any) (map[string]any, map[string]any, bool) {
	first, ok := byName(a)
	second, also := byName(b)
	return first, second, ok && also
}

func byName(v any) (map[string]any, bool) {
	if fields, ok := v.(map[string]any); ok {
		return fields, true
	}
	items, ok := v.([]any)
	if !ok {
		return nil, false
	}
	fields := map[string]any{}
	for _, item := range items {
		named, ok := item.(map[string]any)
		name, _ := named["name"].(string)
		if !ok || name == "" {
			return nil, false
		}
		fields["["+name+"]"] = named
	}
	return fields, true
}

func join(at, name string) string {
	switch {
	case at == "" && (name == "spec" || name == "metadata"):
		return ""
	case at == "" || strings.HasPrefix(name, "["):
		return at + name
	}
	return at + "." + name
}

// brief is a value as one reads it in a sentence.
func brief(v any) string {
	if v == nil {
		return "none"
	}
	text, err := json.Marshal(v)
	if err != nil || len(text) > 120 {
		return "something else"
	}
	return strings.Trim(string(text), `"`)
}

// absent says what should have been made once and is not there, or must be made anew soon.
func (c *Client) absent(ctx context.Context, spec region.Spec) ([]string, error) {
	if !spec.Wants(region.CockroachDB) {
		return nil, nil
	}
	missing, err := c.certificateTroubles(ctx)
	if err != nil {
		return nil, err
	}
	for _, o := range once(spec, Parts{}) {
		w, err := prepare(o)
		if err != nil {
			return nil, err
		}
		if _, err := c.live(ctx, w); apierrors.IsNotFound(err) {
			missing = append(missing, "missing: "+w.String())
		} else if err != nil {
			return nil, explain(err, "read %s", w)
		}
	}
	return missing, nil
}
