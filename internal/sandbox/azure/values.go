package azure

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Bodies are what encoding/json makes of JSON objects. These read and compare them.

// at reads a value inside an object by its path, nil if there is none.
func at(value any, path ...string) any {
	for _, key := range path {
		object, is := value.(map[string]any)
		if !is {
			return nil
		}
		value = object[key]
	}
	return value
}

func text(value any, path ...string) string {
	s, _ := at(value, path...).(string)
	return s
}

func truth(value any, path ...string) bool {
	b, _ := at(value, path...).(bool)
	return b
}

// number reads a whole number; ok is false for everything else.
func number(value any, path ...string) (n int, ok bool) {
	switch v := at(value, path...).(type) {
	case float64:
		return int(v), v == float64(int(v))
	case int:
		return v, true
	}
	return 0, false
}

func items(value any, path ...string) []any {
	list, _ := at(value, path...).([]any)
	return list
}

func object(value any, path ...string) map[string]any {
	o, _ := at(value, path...).(map[string]any)
	return o
}

// stringsOf reads an object of strings; others are left out.
func stringsOf(value any) map[string]string {
	pairs := map[string]string{}
	for key, v := range object(value) {
		if s, is := v.(string); is {
			pairs[key] = s
		}
	}
	return pairs
}

// list of strings.
func textsOf(value any, path ...string) []string {
	var texts []string
	for _, item := range items(value, path...) {
		if s, is := item.(string); is {
			texts = append(texts, s)
		}
	}
	return texts
}

func anys[T any](values []T) []any {
	list := make([]any, 0, len(values))
	for _, v := range values {
		list = append(list, v)
	}
	return list
}

func sorted(values []string) []string {
	slices.Sort(values)
	return values
}

// defaults fills in what an object leaves out.
func defaults(object map[string]any, with map[string]any) {
	for key, value := range with {
		if _, has := object[key]; !has || object[key] == nil {
			object[key] = value
		}
	}
}

// same compares bodies as JSON values.
func same(a, b map[string]any) bool {
	return reflect.DeepEqual(a, b) || len(a) == 0 && len(b) == 0
}

// mentions says whether a value contains the id, or one of something inside it, anywhere.
func mentions(value any, key string) bool {
	switch v := value.(type) {
	case string:
		v = strings.ToLower(v)
		return v == key || strings.HasPrefix(v, key+"/")
	case map[string]any:
		for _, item := range v {
			if mentions(item, key) {
				return true
			}
		}
	case []any:
		for _, item := range v {
			if mentions(item, key) {
				return true
			}
		}
	}
	return false
}

// fold finds the string among those known, without regard to case.
func fold(known []string, s string) (string, bool) {
	for _, k := range known {
		if strings.EqualFold(k, s) {
			return k, true
		}
	}
	return "", false
}

// sameJSON compares bodies of which one was never read from JSON, so that its numbers have other types.
func sameJSON(a, b map[string]any) bool {
	first, errA := json.Marshal(a)
	second, errB := json.Marshal(b)
	return errA == nil && errB == nil && bytes.Equal(first, second)
}

func base10(n int) string { return strconv.Itoa(n) }
