package cluster

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
)

// Status is what is, DIR/status.json.
type Status struct {
	PID      int          `json:"pid"`
	Ready    bool         `json:"ready"`
	Endpoint string       `json:"endpoint"`
	Version  string       `json:"version"`
	Nodes    []NodeStatus `json:"nodes"`
	Error    string       `json:"error"`
}

// NodeStatus is one node as the API server knows it.
type NodeStatus struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
}

// reporter writes status.json at each change, and only then.
type reporter struct {
	path string

	mu      sync.Mutex
	status  Status
	written string
}

func newReporter(path string) *reporter {
	return &reporter{path: path, status: Status{PID: os.Getpid(), Nodes: []NodeStatus{}}}
}

// update changes the status and writes it down if that made a difference.
func (r *reporter) update(change func(*Status)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.status)
	data, err := json.Marshal(r.status)
	if err != nil {
		return err
	}
	if string(data) == r.written {
		return nil
	}
	if err := replaceFile(r.path, append(data, '\n')); err != nil {
		return err
	}
	r.written = string(data)
	return nil
}

// end writes down that the cluster is not ready any more, and why.
func (r *reporter) end(why error) error {
	return r.update(func(s *Status) {
		s.Ready = false
		if why != nil && !errors.Is(why, ErrRestart) {
			s.Error = why.Error()
		}
	})
}

// nodeStatuses lists the wanted nodes in order of name, ready if the API server
// says so.
func nodeStatuses(wanted []NodeSpec, nodes []*corev1.Node) []NodeStatus {
	ready := map[string]bool{}
	for _, node := range nodes {
		ready[node.Name] = isReady(node)
	}
	statuses := make([]NodeStatus, 0, len(wanted))
	for _, node := range wanted {
		statuses = append(statuses, NodeStatus{Name: node.Name, Ready: ready[node.Name]})
	}
	slices.SortFunc(statuses, func(a, b NodeStatus) int { return strings.Compare(a.Name, b.Name) })
	return statuses
}

func isReady(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
