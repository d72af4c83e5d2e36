//go:build contract

package contract

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// awsProblem is a difference between a value and its model.
type awsProblem struct{ pointer, words string }

// awsJudge collects the differences of one message.
type awsJudge struct {
	model    *awsModel
	problems []awsProblem
}

func (j *awsJudge) say(pointer, format string, args ...any) {
	j.problems = append(j.problems, awsProblem{pointer, fmt.Sprintf(format, args...)})
}

// text judges a scalar as text.
func (j *awsJudge) text(shape *awsShape, text, pointer string) {
	var err error
	switch shape.Type {
	case "string":
		j.length(shape, float64(len(text)), pointer)
		if len(shape.Enum) > 0 && !slices.Contains(shape.Enum, text) {
			j.say(pointer, "%q is none of %v", text, shape.Enum[:min(len(shape.Enum), 20)])
		}
	case "boolean":
		if text != "true" && text != "false" {
			err = errors.New("neither true nor false")
		}
	case "integer", "long":
		var n int
		n, err = strconv.Atoi(text)
		j.length(shape, float64(n), pointer)
	case "double", "float":
		_, err = strconv.ParseFloat(text, 64)
	case "timestamp":
		_, err = time.Parse(time.RFC3339, text)
	default:
		err = errors.New("a value without parts")
	}
	if err != nil {
		j.say(pointer, "%q is not a %s: %v", text, shape.Type, err)
	}
}

func (j *awsJudge) length(shape *awsShape, n float64, pointer string) {
	if shape.Min != nil && n < *shape.Min || shape.Max != nil && n > *shape.Max {
		j.say(pointer, "%v is not within what the model allows", n)
	}
}

// form judges a part of a form.
func (j *awsJudge) form(ref *awsRef, value any, pointer string) {
	shape := j.model.Shapes[ref.Shape]
	text, isText := value.(string)
	parts, _ := value.(map[string]any)
	switch {
	case shape.Type == "list":
		j.formList(shape, ref, parts, pointer)
	case shape.Type == "structure":
		j.formParts(shape, parts, pointer)
	case shape.Type == "map":
		j.say(pointer, "maps are not used in forms here")
	case !isText:
		j.say(pointer, "it has parts")
	default:
		j.text(shape, text, pointer)
	}
}

func (j *awsJudge) formList(shape *awsShape, ref *awsRef, parts map[string]any, pointer string) {
	if j.model.Metadata.Protocol == "query" && !shape.Flattened && !ref.Flattened {
		name := shape.Member.called("member")
		inner, is := parts[name].(map[string]any)
		if !is || len(parts) != 1 {
			j.say(pointer, "a list's members are called %s", name)
			return
		}
		parts = inner
	}
	for _, step := range slices.Sorted(maps.Keys(parts)) {
		if n, err := strconv.Atoi(step); err != nil || n < 1 || n > len(parts) {
			j.say(pointer, "%q is not the number of a member", step)
			continue
		}
		j.form(shape.Member, parts[step], pointer+"/*")
	}
}

func (j *awsJudge) formParts(shape *awsShape, parts map[string]any, pointer string) {
	known := map[string]bool{}
	for name, ref := range shape.Members {
		called := j.model.inForm(name, ref)
		known[called] = true
		value, has := parts[called]
		if has {
			j.form(ref, value, pointer+"/"+name)
		} else if slices.Contains(shape.Required, name) {
			j.say(pointer+"/"+name, "it is required")
		}
	}
	for name := range parts {
		if !known[name] {
			j.say(pointer+"/"+name, "the model has no such parameter")
		}
	}
}

// json judges a value of a body that is JSON.
func (j *awsJudge) json(ref *awsRef, value any, pointer string) {
	shape := j.model.Shapes[ref.Shape]
	switch v := value.(type) {
	case map[string]any:
		if shape.Type == "map" {
			for _, one := range v {
				j.json(shape.Value, one, pointer+"/*")
			}
			return
		}
		j.jsonParts(shape, v, pointer)
	case []any:
		if shape.Type != "list" {
			j.say(pointer, "a list, not a %s", shape.Type)
			return
		}
		for _, one := range v {
			j.json(shape.Member, one, pointer+"/*")
		}
	case string:
		if shape.Type != "string" {
			j.say(pointer, "a text, not a %s", shape.Type)
			return
		}
		j.text(shape, v, pointer)
	case bool:
		if shape.Type != "boolean" {
			j.say(pointer, "a flag, not a %s", shape.Type)
		}
	case float64:
		if !slices.Contains([]string{"integer", "long", "double", "float", "timestamp"}, shape.Type) {
			j.say(pointer, "a number, not a %s", shape.Type)
		}
		if shape.Type == "integer" || shape.Type == "long" {
			j.length(shape, v, pointer)
		}
	default:
		j.say(pointer, "null, which AWS leaves out")
	}
}

func (j *awsJudge) jsonParts(shape *awsShape, parts map[string]any, pointer string) {
	if shape.Type != "structure" {
		j.say(pointer, "it has members, and is a %s", shape.Type)
		return
	}
	known := map[string]bool{}
	for name, ref := range shape.Members {
		if ref.Location != "" {
			continue
		}
		called := ref.called(name)
		known[called] = true
		value, has := parts[called]
		if has {
			j.json(ref, value, pointer+"/"+called)
		} else if slices.Contains(shape.Required, name) {
			j.say(pointer+"/"+called, "it is required")
		}
	}
	for name := range parts {
		if !known[name] {
			j.say(pointer+"/"+name, "the model has no such member")
		}
	}
}

// node is an element of an XML document.
type node struct {
	name     string
	space    string
	text     string
	children []*node
}

func parseXML(data []byte) (*node, error) {
	decoder := xml.NewDecoder(strings.NewReader(string(data)))
	root := &node{}
	stack := []*node{root}
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		top := stack[len(stack)-1]
		switch t := token.(type) {
		case xml.StartElement:
			child := &node{name: t.Name.Local, space: t.Name.Space}
			top.children = append(top.children, child)
			stack = append(stack, child)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			top.text += string(t)
		}
	}
	if len(root.children) != 1 {
		return nil, fmt.Errorf("%d roots", len(root.children))
	}
	return root.children[0], nil
}

// child is the first child of that name, nil if there is none.
func (n *node) child(name string) *node {
	for _, c := range n.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// xml judges an element.
func (j *awsJudge) xml(ref *awsRef, n *node, pointer string) {
	shape := j.model.Shapes[ref.Shape]
	switch shape.Type {
	case "structure":
		j.xmlParts(shape, n, pointer)
	case "list":
		item := shape.Member.called("member")
		for _, c := range n.children {
			if c.name != item {
				j.say(pointer, "a list's items are called %s, not %s", item, c.name)
				continue
			}
			j.xml(shape.Member, c, pointer+"/*")
		}
	default:
		if len(n.children) > 0 {
			j.say(pointer, "it has parts, and is a %s", shape.Type)
			return
		}
		j.text(shape, n.text, pointer)
	}
}

func (j *awsJudge) xmlParts(shape *awsShape, n *node, pointer string) {
	known := map[string]*awsRef{}
	for name, ref := range shape.Members {
		known[ref.called(name)] = ref
		if slices.Contains(shape.Required, name) && n.child(ref.called(name)) == nil {
			j.say(pointer+"/"+ref.called(name), "it is required")
		}
	}
	for _, c := range n.children {
		if known[c.name] == nil {
			j.say(pointer+"/"+c.name, "the model has no such element")
			continue
		}
		j.xml(known[c.name], c, pointer+"/"+c.name)
	}
}
