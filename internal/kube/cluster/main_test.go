package cluster_test

import (
	"log"
	"os"
	"testing"

	"github.com/m3o/platform/internal/kube/command"
	"github.com/m3o/platform/internal/kube/node"
)

// TestMain lets the test binary be m3o-kube: the tests start it under that name
// as a cluster, and the cluster starts it as its nodes.
func TestMain(m *testing.M) {
	switch os.Args[0] {
	case noNamespaces:
		log.Fatal(becomeWithoutNamespaces())
	case node.Program:
		os.Exit(command.Run())
	}
	os.Exit(m.Run())
}
