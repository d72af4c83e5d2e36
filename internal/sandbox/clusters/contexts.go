package clusters

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

const (
	callTimeout = 10 * time.Second
	// lookEvery is how old an answer of an external API server may be: a cloud asks many times a second.
	lookEvery = 2 * time.Second
)

// Contexts stands the contexts of a kubeconfig in for clusters, where the machine cannot run m3o-kube. A cluster takes a
// whole context for itself. Its nodes are whatever the real cluster has: node pools have no effect there, and neither has the
// version. Who may use it is its own affair: one with an authenticator fails, as nobody whom that knows would be let in. When the cloud's
// cluster is removed, the namespaces that its owner made in the real one are removed with it (see belongs). All else there is somebody
// else's, and stays.
type Contexts struct {
	dir    string
	config *api.Config
	names  []string

	mu    sync.Mutex
	taken map[string]*contextCluster
}

// contextCluster is a cluster that stands in for a cloud's.
type contextCluster struct {
	Wanted Wanted `json:"wanted"`
	// Namespaces are those it had when it was taken.
	Namespaces []string `json:"namespaces"`

	status Status
	asked  time.Time
}

// NewContexts takes the named contexts of a kubeconfig file for clusters, or all of one that has only clusters of this
// machine, and keeps who has taken what below dir.
func NewContexts(kubeconfig string, named []string, dir string) (*Contexts, error) {
	config, names, err := readContexts(kubeconfig, named)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the clusters' directory: %w", err)
	}
	return &Contexts{dir: dir, config: config, names: names, taken: map[string]*contextCluster{}}, nil
}

// Places implements Runner.
func (c *Contexts) Places() []string { return slices.Clone(c.names) }

// Apply implements Runner.
func (c *Contexts) Apply(ctx context.Context, w Wanted) error {
	if !safeName.MatchString(w.ID) {
		return fmt.Errorf("%q cannot be a cluster's id", w.ID)
	}
	if c.change(w.ID, func(known *contextCluster) { known.Wanted = w }) {
		return nil
	}
	// The real cluster is asked without the lock: it may be far away.
	client, err := c.client(w.Place)
	if err != nil {
		return err
	}
	taken := &contextCluster{Wanted: w}
	spaces, err := client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("look at the cluster of context %s: %w", w.Place, err)
	}
	for _, space := range spaces.Items {
		taken.Namespaces = append(taken.Namespaces, space.Name)
	}
	data, err := json.Marshal(taken)
	if err != nil {
		return err
	}
	if err := replaceFile(c.path(w.ID), data, 0o600); err != nil {
		return fmt.Errorf("write down who took context %s: %w", w.Place, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken[w.ID] = taken
	return nil
}

// change changes what is known of a cluster, and says whether anything is.
func (c *Contexts) change(id string, how func(*contextCluster)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.find(id)
	if known != nil {
		how(known)
	}
	return known != nil
}

// known returns a copy of what is known of a cluster.
func (c *Contexts) known(id string) (copied contextCluster, found bool) {
	found = c.change(id, func(known *contextCluster) { copied = *known })
	return copied, found
}

func (c *Contexts) path(id string) string { return filepath.Join(c.dir, id+".context.json") }

// find returns who stands in for id, also if an earlier sandbox gave it. The caller holds the lock.
func (c *Contexts) find(id string) *contextCluster {
	if known := c.taken[id]; known != nil {
		return known
	}
	data, err := readLimited(c.path(id))
	if err != nil || len(data) == 0 {
		return nil
	}
	var known contextCluster
	if err := json.Unmarshal(data, &known); err != nil {
		return nil
	}
	c.taken[id] = &known
	return &known
}

// Status implements Runner.
func (c *Contexts) Status(ctx context.Context, id string) (Status, error) {
	known, found := c.known(id)
	if !found {
		return Status{}, nil
	}
	if time.Since(known.asked) > lookEvery {
		known.status = c.look(ctx, known.Wanted)
		c.change(id, func(k *contextCluster) { k.status, k.asked = known.status, time.Now() })
	}
	status := known.status
	status.Version = known.Wanted.Version // it has only the one it has
	status.Nodes = map[string]bool{}
	for _, node := range known.Wanted.Nodes {
		status.Nodes[node.Name] = status.Ready
	}
	return status, nil
}

// look asks the real cluster.
func (c *Contexts) look(ctx context.Context, w Wanted) Status {
	status := Status{Alive: true}
	if w.Authenticator != "" {
		status.Failed = "the cluster of context " + w.Place + " does not ask the cloud whose a token is: with a kubeconfig, regions are on digitalocean alone"
		return status
	}
	client, err := c.client(w.Place)
	if err != nil {
		status.Failed = err.Error()
		return status
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		status.Trouble = err.Error()
		return status
	}
	if config, err := c.rest(w.Place); err == nil {
		status.Endpoint = config.Host
	}
	status.Ready = len(nodes.Items) > 0
	if !status.Ready {
		status.Trouble = "the cluster of context " + w.Place + " has no nodes"
	}
	return status
}

// Access implements Runner.
func (c *Contexts) Access(ctx context.Context, id string) (Access, error) {
	status, err := c.Status(ctx, id)
	if err != nil {
		return Access{}, err
	}
	if !status.Ready {
		return Access{}, ErrNotReady
	}
	known, _ := c.known(id)
	config, err := c.rest(known.Wanted.Place)
	if err != nil {
		return Access{}, err
	}
	if err := rest.LoadTLSFiles(config); err != nil {
		return Access{}, fmt.Errorf("read the context's certificates: %w", err)
	}
	access := Access{Server: config.Host, CA: config.CAData, Token: config.BearerToken, Certificate: config.CertData, Key: config.KeyData}
	if access.Token == "" && len(access.Certificate) == 0 {
		return Access{}, errors.New("the context has neither a token nor a client certificate")
	}
	return access, nil
}

// Remove implements Runner.
func (c *Contexts) Remove(ctx context.Context, id string) error {
	known, found := c.known(id)
	if !found {
		return nil
	}
	client, err := c.client(known.Wanted.Place)
	if err != nil {
		return err
	}
	if err := known.removeNamespaces(ctx, client); err != nil {
		return fmt.Errorf("empty the cluster of context %s: %w", known.Wanted.Place, err)
	}
	if err := os.Remove(c.path(id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.taken, id)
	return nil
}

func (c *Contexts) rest(name string) (*rest.Config, error) {
	config, err := clientcmd.NewNonInteractiveClientConfig(*c.config, name, &clientcmd.ConfigOverrides{}, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("context %s: %w", name, err)
	}
	config.Timeout = callTimeout
	return config, nil
}

func (c *Contexts) client(name string) (kubernetes.Interface, error) {
	config, err := c.rest(name)
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}
