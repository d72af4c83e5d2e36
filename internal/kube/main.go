// Command m3o-kube runs a real Kubernetes cluster, control plane and nodes,
// without root and without Docker. The sandbox starts it; README.md says how.
package main

import (
	"os"

	"github.com/m3o/platform/internal/kube/command"
)

func main() {
	os.Exit(command.Run())
}
