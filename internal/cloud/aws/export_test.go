package aws

import (
	"maps"
	"slices"
)

// Operations are those of the table of permissions.
func Operations() []string { return slices.Sorted(maps.Keys(permissions)) }

// Unlisted are the operations that the table of permissions lacks.
func Unlisted(operations []string) []string {
	return slices.DeleteFunc(operations, func(o string) bool { _, listed := permissions[o]; return listed })
}
