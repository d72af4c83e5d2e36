package node

import (
	// For go:linkname.
	_ "unsafe"

	"sync/atomic"

	// The package whose variable is named below.
	_ "k8s.io/component-base/version"
)

// reported is what the kubelet reports as its version. Kubernetes sets it when it
// is linked and offers no way to a kubelet that emulates another minor version,
// as it does for servers.
//
//go:linkname reported k8s.io/component-base/version.dynamicGitVersion
var reported atomic.Value

// report makes the kubelet in this process report version.
func report(version string) { reported.Store(version) }
