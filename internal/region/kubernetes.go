package region

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	"github.com/m3o/platform/internal/fault"
)

// Kubernetes is the managed cluster a region wants. What is zero is left out of the platform file: for the provider's defaults.
type Kubernetes struct {
	Version string `json:"version"` // a minor version: "1.34"
	Nodes   Nodes  `json:"nodes"`
}

// Nodes is the size of the cluster's node pool.
type Nodes struct {
	Count int    `json:"count"`
	Size  string `json:"size"` // the provider's own name ("s-2vcpu-4gb", "Standard_D2s_v5")
}

var (
	minor       = regexp.MustCompile(`^1\.[0-9]{1,2}$`)
	nodeSize    = regexp.MustCompile(`^[A-Za-z0-9][-_.A-Za-z0-9]{0,62}$`)
	versionName = regexp.MustCompile(`^v?([0-9]+\.[0-9]+)(\.[0-9]+)?`)
)

// Or fills in by others what is left out.
func (k Kubernetes) Or(others Kubernetes) Kubernetes {
	return Kubernetes{Version: cmp.Or(k.Version, others.Version),
		Nodes: Nodes{Count: cmp.Or(k.Nodes.Count, others.Nodes.Count), Size: cmp.Or(k.Nodes.Size, others.Nodes.Size)}}
}

// leftOut names what is left out, as the platform file calls it.
func (k Kubernetes) leftOut() []string {
	var fields []string
	for _, f := range []struct {
		name string
		out  bool
	}{{"kubernetes.version", k.Version == ""}, {"kubernetes.nodes.count", k.Nodes.Count == 0}, {"kubernetes.nodes.size", k.Nodes.Size == ""}} {
		if f.out {
			fields = append(fields, f.name)
		}
	}
	return fields
}

// writtenKubernetes is the cluster as the platform file has it: nil is left out, which "" and 0 are not.
type writtenKubernetes struct {
	version, size *string
	count         *int
}

func (w writtenKubernetes) problems(at string) []fault.Problem {
	var c fault.Checker
	c.Check(w.version == nil || minor.MatchString(*w.version), at+"version", "%q is not a minor version such as \"1.34\"", value(w.version))
	count := value(w.count)
	c.Check(w.count == nil || count >= 1 && count <= MaxNodes, at+"nodes.count", "%d is not between 1 and %d", count, MaxNodes)
	c.Check(w.size == nil || nodeSize.MatchString(*w.size), at+"nodes.size", "%q is not the name of a node size", value(w.size))
	return c.Problems()
}

func (w writtenKubernetes) spec() Kubernetes {
	return Kubernetes{Version: value(w.version), Nodes: Nodes{Count: value(w.count), Size: value(w.size)}}
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// Minor is the minor version in what a provider or an API server calls a version: "1.34" of "1.34.1-do.0" and of "v1.34.1"; ""
// of what is none.
func Minor(version string) string {
	if found := versionName.FindStringSubmatch(version); found != nil {
		return found[1]
	}
	return ""
}

// patch is the patch version in a name of it: "1.34.1" of "1.34.1-do.0" and of "v1.34.1".
func patch(version string) string { return strings.TrimPrefix(versionName.FindString(version), "v") }

// Upgraded says in words that the cluster runs another minor version than was applied, "" when it does not or runs none that is
// known. Clouds upgrade clusters by themselves when a version's support ends.
func (k Kubernetes) Upgraded(runs string) string {
	if now := Minor(runs); now == "" || now == k.Version {
		return ""
	}
	return fmt.Sprintf("kubernetes.version %s, wanted %s", patch(runs), k.Version)
}
