package wire

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Limits of one request.
const (
	maxParameters = 2000
	maxDepth      = 12
	maxIndex      = 1000
)

// Query is a request's parameters, or a part of them.
type Query struct {
	value    string
	present  bool
	children map[string]*Query
}

// ParseQuery reads a form body. Of a key that is there twice the first counts.
func ParseQuery(body string) (*Query, error) {
	form, err := url.ParseQuery(body)
	if err != nil {
		return nil, fmt.Errorf("the body is not a form: %w", err)
	}
	if len(form) > maxParameters {
		return nil, fmt.Errorf("%d parameters are more than %d", len(form), maxParameters)
	}
	root := &Query{}
	for key, values := range form {
		path := strings.Split(key, ".")
		if len(path) > maxDepth {
			return nil, fmt.Errorf("the parameter %.60q is nested more than %d deep", key, maxDepth)
		}
		at := root
		for _, step := range path {
			at = at.child(step)
		}
		at.value, at.present = values[0], true
	}
	return root, nil
}

func (q *Query) child(step string) *Query {
	if q.children == nil {
		q.children = map[string]*Query{}
	}
	if q.children[step] == nil {
		q.children[step] = &Query{}
	}
	return q.children[step]
}

// Get is the part of that name, which is empty if there is none.
func (q *Query) Get(name string) *Query {
	if q == nil || q.children[name] == nil {
		return &Query{}
	}
	return q.children[name]
}

// Has reports whether there is anything of that name.
func (q *Query) Has(name string) bool {
	part := q.Get(name)
	return part.present || len(part.children) > 0
}

// Text is the parameter's value, "" if there is none.
func (q *Query) Text(name string) string { return q.Get(name).value }

// Value is the value of this part itself.
func (q *Query) Value() string { return q.value }

// Number is the parameter as a whole number, or fallback if there is none.
func (q *Query) Number(name string, fallback int) (int, error) {
	text := q.Text(name)
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%s %.40q is not a number", name, text)
	}
	return n, nil
}

// Flag is the parameter as a boolean, or fallback if there is none.
func (q *Query) Flag(name string, fallback bool) (bool, error) {
	text := q.Text(name)
	if text == "" {
		return fallback, nil
	}
	flag, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%s %.40q is neither true nor false", name, text)
	}
	return flag, nil
}

// Items are the members of a list, in the order of their numbers. Both forms are read: "Name.1" and "Name.member.1".
func (q *Query) Items(name string) []*Query {
	list := q.Get(name)
	if members := list.children["member"]; members != nil {
		list = members
	}
	var numbers []int
	for step := range list.children {
		if n, err := strconv.Atoi(step); err == nil && n >= 0 && n <= maxIndex {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	items := make([]*Query, 0, len(numbers))
	for _, n := range numbers {
		if item := list.children[strconv.Itoa(n)]; item != nil {
			items = append(items, item)
		}
	}
	return items
}

// Texts are the values of a list of texts.
func (q *Query) Texts(name string) []string {
	items := q.Items(name)
	texts := make([]string, 0, len(items))
	for _, item := range items {
		texts = append(texts, item.value)
	}
	return texts
}

// Names are the names of the parts at the top, sorted.
func (q *Query) Names() []string {
	names := make([]string, 0, len(q.children))
	for name := range q.children {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
