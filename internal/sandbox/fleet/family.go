package fleet

import "github.com/m3o/platform/internal/sandbox/world"

// Load reads a cluster, and the pools and nodes that a cloud keeps as its children. The refs name the cluster, and the kinds of pools and
// of nodes, by the cluster's id. world.ErrNotFound if there is no such cluster.
func Load[C, P, N any](tx *world.Tx, cluster, pools, nodes world.Ref) (one C, inPools []P, onNodes []N, err error) {
	if one, err = world.Get[C](tx, cluster); err != nil {
		return one, nil, nil, err
	}
	if inPools, err = world.Children[P](tx, pools); err != nil {
		return one, nil, nil, err
	}
	onNodes, err = world.Children[N](tx, nodes)
	return one, inPools, onNodes, err
}
