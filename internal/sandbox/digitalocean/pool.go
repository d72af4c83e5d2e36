package digitalocean

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"

	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/world"
)

func (f *family) wirePool(p pool) wirePool {
	w := wirePool{ID: p.ID, Name: p.Name, Size: p.Size, Labels: p.Labels, Taints: []taint{}, Nodes: []wireNode{},
		Tags: append([]string{"k8s", "k8s:" + p.Cluster, "k8s:worker"}, p.Tags...)}
	for _, n := range f.nodesOf(p.ID) {
		if !n.leaving() {
			w.Count++
		}
		w.Nodes = append(w.Nodes, wireNode{ID: n.ID, Name: n.Name, Status: wireStatus{State: n.State, Message: n.Message},
			DropletID: fmt.Sprint(n.DropletID), CreatedAt: stamp(n.CreatedAt), UpdatedAt: stamp(n.UpdatedAt)})
	}
	return w
}

// addPool adds a pool with its nodes to the family. It writes nothing.
func (f *family) addPool(tx *world.Tx, c *exchange, asked poolRequest, t world.Transition) error {
	p := pool{ID: uuid.NewString(), Cluster: f.cluster.ID, Name: asked.Name, Size: asked.Size, Tags: asked.Tags,
		Labels: asked.Labels, CreatedAt: c.At, Transition: t}
	f.pools = append(f.pools, p)
	return f.addNodes(tx, c, p, asked.Count, t)
}

// addNodes adds nodes to a pool of the family. It writes nothing.
func (f *family) addNodes(tx *world.Tx, c *exchange, p pool, count int, t world.Transition) error {
	free, err := addressesFor(tx, f)
	if err != nil {
		return err
	}
	for range count {
		address, err := free.take()
		if err != nil {
			return err
		}
		suffix, err := randomName(5)
		if err != nil {
			return err
		}
		droplet, err := randomNumber(400_000_000, 500_000_000)
		if err != nil {
			return err
		}
		n := node{ID: uuid.NewString(), Cluster: f.cluster.ID, Pool: p.ID, Name: p.Name + "-" + suffix, DropletID: droplet, Address: address,
			State: provisioning, CreatedAt: c.At, UpdatedAt: c.At, Transition: t}
		if slices.ContainsFunc(f.nodes, func(o node) bool { return o.Name == n.Name }) {
			return fmt.Errorf("two nodes drew the name %s", n.Name)
		}
		f.nodes = append(f.nodes, n)
	}
	return nil
}

// randomName draws from the alphabet that DOKS names nodes with.
func randomName(length int) (string, error) {
	const alphabet = "0123456789abcdefghijklmnopqrstuvwxyz"
	name := make([]byte, length)
	for i := range name {
		n, err := randomNumber(0, len(alphabet))
		if err != nil {
			return "", err
		}
		name[i] = alphabet[n]
	}
	return string(name), nil
}

func randomNumber(from, below int) (int, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(int64(below-from)))
	if err != nil {
		return 0, fmt.Errorf("draw a number: %w", err)
	}
	return from + int(n.Int64()), nil
}

func (c *exchange) recordPool(tx *world.Tx, p pool) error {
	effect := c.Effect(world.Created, kindPool, p.ID, p.Name)
	effect.Tags, effect.Parent = p.Tags, p.Cluster
	return errors.Join(putPool(tx, p), tx.Record(effect))
}

func (c *exchange) recordNode(tx *world.Tx, n node) error {
	effect := c.Effect(world.Created, kindNode, n.ID, n.Name)
	effect.State, effect.Parent = n.State, n.Pool
	return errors.Join(putNode(tx, n), tx.Record(effect))
}

func listPools(c *exchange) (reply, error) {
	wires := []wirePool{}
	err := c.View(func(tx *world.Tx) error {
		f, err := c.family(tx)
		if err == nil {
			wires = f.wire().NodePools
		}
		return err
	})
	return reply{status: http.StatusOK, body: map[string]any{"node_pools": wires}}, err
}

// pool loads the cluster and the pool of the path.
func (c *exchange) pool(tx *world.Tx) (*family, *pool, error) {
	f, err := c.liveFamily(tx)
	if err != nil {
		return nil, nil, err
	}
	p, found := f.poolByID(c.Request.PathValue("node_pool_id"))
	if !found {
		return nil, nil, notFound()
	}
	return f, p, nil
}

func getPool(c *exchange) (reply, error) {
	var w wirePool
	err := c.View(func(tx *world.Tx) error {
		f, err := c.family(tx)
		if err != nil {
			return err
		}
		p, found := f.poolByID(c.Request.PathValue("node_pool_id"))
		if !found {
			return notFound()
		}
		w = f.wirePool(*p)
		return nil
	})
	return reply{status: http.StatusOK, body: map[string]any{"node_pool": w}}, err
}

func createPool(c *exchange) (reply, error) {
	var asked poolRequest
	if err := c.decode(&asked); err != nil {
		return reply{}, err
	}
	if err := asked.check(); err != nil {
		return reply{}, err
	}
	var w wirePool
	err := c.Commit(func(tx *world.Tx) error {
		f, err := c.liveFamily(tx)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(f.pools, func(p pool) bool { return p.Name == asked.Name }) {
			return unprocessable("node pool name %q is already in use", asked.Name)
		}
		if err := checkRoom(f, asked.Count); err != nil {
			return err
		}
		if err := c.roomFor(tx, asked.Count); err != nil {
			return err
		}
		w, err = c.addPool(tx, f, asked)
		return err
	})
	return reply{status: http.StatusCreated, body: map[string]any{"node_pool": w}}, err
}

// checkRoom bounds a cluster.
func checkRoom(f *family, more int) error {
	if len(f.pools) >= maxPools || len(f.nodes)+more > maxNodes {
		return unprocessable("a cluster has at most %d node pools and %d nodes", maxPools, maxNodes)
	}
	return nil
}

func (c *exchange) addPool(tx *world.Tx, f *family, asked poolRequest) (wirePool, error) {
	t, err := c.begin(tx, f.cluster.ID+asked.Name, nodeCreation)
	if err != nil {
		return wirePool{}, err
	}
	before := len(f.nodes)
	if err := f.addPool(tx, c, asked, t); err != nil {
		return wirePool{}, err
	}
	p := f.pools[len(f.pools)-1]
	err = c.recordPool(tx, p)
	for _, n := range f.nodes[before:] {
		err = errors.Join(err, c.recordNode(tx, n))
	}
	return f.wirePool(p), err
}

func updatePool(c *exchange) (reply, error) {
	var asked poolUpdate
	if err := c.decode(&asked); err != nil {
		return reply{}, err
	}
	if err := asked.check(); err != nil {
		return reply{}, err
	}
	var w wirePool
	err := c.Commit(func(tx *world.Tx) error {
		f, p, err := c.pool(tx)
		if err != nil {
			return err
		}
		if err := asked.apply(f, p); err != nil {
			return err
		}
		effect := c.Effect(world.Updated, kindPool, p.ID, p.Name)
		effect.Tags = p.Tags
		if err := errors.Join(putPool(tx, *p), tx.Record(effect)); err != nil {
			return err
		}
		if asked.Count != nil {
			err = c.scale(tx, f, *p, *asked.Count)
		}
		w = f.wirePool(*p)
		return err
	})
	return reply{status: http.StatusAccepted, body: map[string]any{"node_pool": w}}, err
}

// apply changes what was sent and leaves the rest.
func (u poolUpdate) apply(f *family, p *pool) error {
	if name := cmp.Or(u.Name, p.Name); name != p.Name {
		return unprocessable("name: the sandbox cannot rename the node pool %s", p.Name)
	}
	if u.Tags != nil {
		p.Tags = *u.Tags
	}
	if u.Labels != nil {
		p.Labels = *u.Labels
	}
	return nil
}

// scale makes a pool have count nodes. The newest go first, but before all those that do not run.
func (c *exchange) scale(tx *world.Tx, f *family, p pool, count int) error {
	staying := slices.DeleteFunc(f.nodesOf(p.ID), node.leaving)
	if more := count - len(staying); more > 0 {
		return c.grow(tx, f, p, more)
	}
	slices.SortStableFunc(staying, func(a, b node) int {
		switch {
		case a.State == running && b.State != running:
			return -1
		case a.State != running && b.State == running:
			return 1
		}
		return a.CreatedAt.Compare(b.CreatedAt)
	})
	for _, n := range staying[count:] {
		if err := c.retire(tx, f, n.ID, draining); err != nil {
			return err
		}
	}
	return nil
}

func (c *exchange) grow(tx *world.Tx, f *family, p pool, more int) error {
	if err := checkRoom(&family{nodes: f.nodes}, more); err != nil {
		return err
	}
	if err := c.roomFor(tx, more); err != nil {
		return err
	}
	t, err := c.begin(tx, c.ID, nodeCreation)
	if err != nil {
		return err
	}
	before := len(f.nodes)
	if err := f.addNodes(tx, c, p, more, t); err != nil {
		return err
	}
	for _, n := range f.nodes[before:] {
		err = errors.Join(err, c.recordNode(tx, n))
	}
	return err
}

// retire starts a node's end.
func (c *exchange) retire(tx *world.Tx, f *family, id, state string) error {
	i := slices.IndexFunc(f.nodes, func(n node) bool { return n.ID == id })
	if i < 0 {
		return notFound()
	}
	n := &f.nodes[i]
	if n.leaving() {
		return nil
	}
	takes := nodeDeletion
	if state == deleting {
		takes = nodeDeletion / 2 // without a drain
	}
	var err error
	if n.Transition, err = c.BeginEnd(tx, n.ID, takes); err != nil {
		return err
	}
	n.State, n.Message, n.UpdatedAt = state, "", c.At
	return putNode(tx, *n)
}

func deletePool(c *exchange) (reply, error) {
	err := c.Commit(func(tx *world.Tx) error {
		f, p, err := c.pool(tx)
		if err != nil {
			return err
		}
		if len(slices.DeleteFunc(slices.Clone(f.pools), func(o pool) bool { return o.Deleting })) == 1 {
			return unprocessable("the last node pool of a cluster cannot be deleted")
		}
		p.Deleting = true
		p.Transition = world.Transition{Operation: c.Operation, Key: c.ID, RequestedAt: c.At, Due: c.At}
		for _, n := range f.nodesOf(p.ID) {
			if err := c.retire(tx, f, n.ID, draining); err != nil {
				return err
			}
		}
		return putPool(tx, *p)
	})
	return reply{status: http.StatusNoContent}, err
}

func deleteNode(c *exchange) (reply, error) {
	query := c.Request.URL.Query()
	state := draining
	if isSet(query.Get("skip_drain")) {
		state = deleting
	}
	err := c.replaceNodes([]string{c.Request.PathValue("node_id")}, state, isSet(query.Get("replace")))
	return reply{status: http.StatusAccepted}, err
}

func isSet(flag string) bool { return flag == "1" || flag == "true" }

func recyclePool(c *exchange) (reply, error) {
	var asked struct {
		Nodes []string `json:"nodes"`
	}
	if err := c.decode(&asked); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusAccepted}, c.replaceNodes(asked.Nodes, draining, true)
}

// replaceNodes starts the end of nodes, and if wanted makes others for them.
func (c *exchange) replaceNodes(ids []string, state string, replace bool) error {
	return c.Commit(func(tx *world.Tx) error {
		f, p, err := c.pool(tx)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if !slices.ContainsFunc(f.nodesOf(p.ID), func(n node) bool { return n.ID == id }) {
				return notFound()
			}
			if err := c.retire(tx, f, id, state); err != nil {
				return err
			}
		}
		if replace && len(ids) > 0 {
			return c.grow(tx, f, *p, len(ids))
		}
		return nil
	})
}
