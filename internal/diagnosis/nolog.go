package diagnosis

import (
	"slices"
	"strings"
)

// noLogs are how a kubelet begins what it answers, as a log, in place of one that it has no more.
var noLogs = []string{"unable to retrieve container logs for ", "failed to try resolving symlinks in path ", "failed to open log file "}

// NoLog reports whether a log that was read without times is the kubelet's word that there is none any more. It keeps logs of few runs, and
// none of a pod that was evicted. With times it is a line that has none.
func NoLog(text string) bool {
	return slices.ContainsFunc(noLogs, func(begins string) bool { return strings.HasPrefix(text, begins) })
}
