package wire

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fields is an answer or a part of one: values by element name. A name like "vpcSet>item" is that of a list, whose items are
// named by what follows the sign. Lists that are not nil are written even if they are empty, as the services do.
type Fields map[string]any

// Elements writes the fields as elements.
//
// Values are texts, numbers, booleans, times, Fields, structs and lists of those. A struct's fields are named by their tag "xml",
// in the same way; "-" or no tag leaves one out. Empty texts, zero times and nil pointers are not written. A struct that is
// embedded counts as its fields. A name that ends in "!" is written even if its text is empty.
func (f Fields) Elements() ([]byte, error) {
	var b bytes.Buffer
	err := f.write(&b)
	return b.Bytes(), err
}

func (f Fields) write(b *bytes.Buffer) error {
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if err := element(b, name, reflect.ValueOf(f[name])); err != nil {
			return err
		}
	}
	return nil
}

// element writes one named value, or nothing if it is empty.
func element(b *bytes.Buffer, name string, v reflect.Value) error {
	for v.IsValid() && (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	if !v.IsValid() {
		return nil
	}
	if list, item, isList := strings.Cut(name, ">"); isList {
		return elements(b, list, item, v)
	}
	text, isText, err := scalar(v)
	if err != nil {
		return fmt.Errorf("element %s: %w", name, err)
	}
	name, always := strings.CutSuffix(name, "!")
	if isText && text == "" && !always {
		return nil
	}
	b.WriteString("<" + name + ">")
	if isText {
		err = xml.EscapeText(b, []byte(text))
	} else {
		err = content(b, v)
	}
	b.WriteString("</" + name + ">")
	return err
}

// elements writes a list.
func elements(b *bytes.Buffer, list, item string, v reflect.Value) error {
	if v.Kind() != reflect.Slice {
		return fmt.Errorf("element %s: a %s is no list", list, v.Kind())
	}
	if v.IsNil() {
		return nil
	}
	b.WriteString("<" + list + ">")
	for i := range v.Len() {
		if err := element(b, item, v.Index(i)); err != nil {
			return err
		}
	}
	b.WriteString("</" + list + ">")
	return nil
}

// scalar is a value as text, if it is one that has no parts.
func scalar(v reflect.Value) (string, bool, error) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		at := v.Interface().(time.Time)
		if at.IsZero() {
			return "", true, nil
		}
		return at.UTC().Format("2006-01-02T15:04:05.000Z"), true, nil
	}
	switch v.Kind() {
	case reflect.String:
		return v.String(), true, nil
	case reflect.Bool:
		return strconv.FormatBool(v.Bool()), true, nil
	case reflect.Int, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10), true, nil
	case reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'f', -1, 64), true, nil
	case reflect.Struct, reflect.Map:
		return "", false, nil
	}
	return "", false, fmt.Errorf("a %s cannot be written", v.Kind())
}

// content writes what is in Fields or a struct.
func content(b *bytes.Buffer, v reflect.Value) error {
	if v.Type() == reflect.TypeFor[Fields]() {
		return v.Interface().(Fields).write(b)
	}
	if v.Kind() != reflect.Struct {
		return fmt.Errorf("a %s cannot be written", v.Type())
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name := field.Tag.Get("xml")
		var err error
		switch {
		case field.Anonymous:
			err = content(b, v.Field(i))
		case name != "" && name != "-":
			err = element(b, name, v.Field(i))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
