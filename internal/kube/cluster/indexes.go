package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// indexes remembers which node has which index, and so which addresses: a node
// keeps them over restarts, and a removed one frees them when it is gone.
type indexes struct {
	path  string
	nodes map[string]int
}

func openIndexes(path string) (*indexes, error) {
	x := &indexes{path: path, nodes: map[string]int{}}
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return x, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the nodes' indexes: %w", err)
	}
	if err := json.Unmarshal(data, &x.nodes); err != nil {
		return nil, fmt.Errorf("read the nodes' indexes: %w", err)
	}
	return x, nil
}

// assign returns the index of the node, giving it the lowest free one.
func (x *indexes) assign(name string) (int, error) {
	if index, ok := x.nodes[name]; ok {
		return index, nil
	}
	used := map[int]bool{}
	for _, index := range x.nodes {
		used[index] = true
	}
	for index := 1; index <= maxNodes; index++ {
		if !used[index] {
			x.nodes[name] = index
			return index, x.save()
		}
	}
	return 0, fmt.Errorf("no address is free for node %s: a cluster has at most %d nodes", name, maxNodes)
}

// free forgets a node that is gone.
func (x *indexes) free(name string) error {
	if _, ok := x.nodes[name]; !ok {
		return nil
	}
	delete(x.nodes, name)
	return x.save()
}

func (x *indexes) save() error {
	data, err := json.Marshal(x.nodes)
	if err != nil {
		return fmt.Errorf("write the nodes' indexes: %w", err)
	}
	return replaceFile(x.path, data)
}
