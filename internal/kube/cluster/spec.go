package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"

	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/m3o/platform/internal/kube/controlplane"
)

const (
	// maxNodes leaves a few of the indexes that addresses have room for.
	maxNodes     = 250
	maxSpecBytes = 1 << 20
	maxOpenPorts = 64
)

// Spec is the wanted state, DIR/cluster.json.
type Spec struct {
	Name string `json:"name"`
	// Version is the Kubernetes version the cluster presents, as "1.34".
	Version string `json:"version"`
	// APIPort is the API server's port on 127.0.0.1; 0 picks one and keeps it.
	APIPort int `json:"apiPort"`
	// LoadBalancerCIDR holds the addresses for Services of type LoadBalancer.
	LoadBalancerCIDR string `json:"loadBalancerCIDR"`
	// OpenPorts are those of the machine's loopback that pods can reach; all
	// others are closed. The registry that nodes pull from must be among them.
	OpenPorts []uint16   `json:"openPorts"`
	Nodes     []NodeSpec `json:"nodes"`
	// InsecureRegistries are registries, as "host:port", that speak plain HTTP,
	// beside those on the machine's loopback. Nodes that start are told.
	InsecureRegistries []string `json:"insecureRegistries,omitempty"`
	// Authenticator is the URL of a webhook on the machine's loopback, in plain
	// HTTP, that says by TokenReview whose a bearer token is that the cluster
	// itself does not know. Empty means that nobody is asked.
	Authenticator string `json:"authenticator,omitempty"`
}

// NodeSpec is one wanted node.
type NodeSpec struct {
	Name      string            `json:"name"`
	Pool      string            `json:"pool"`
	CPU       int               `json:"cpu"`
	MemoryMiB int               `json:"memoryMiB"`
	Labels    map[string]string `json:"labels"`
}

// loadSpec reads and checks the wanted state.
func loadSpec(path string) (Spec, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Spec{}, fmt.Errorf("read the wanted state: %w", err)
	}
	return parseSpec(data)
}

func parseSpec(data []byte) (Spec, error) {
	if len(data) > maxSpecBytes {
		return Spec{}, fmt.Errorf("cluster.json has %d bytes, more than %d", len(data), maxSpecBytes)
	}
	var spec Spec
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&spec); err != nil {
		return Spec{}, fmt.Errorf("cluster.json: %w", err)
	}
	if err := spec.validate(); err != nil {
		return Spec{}, fmt.Errorf("cluster.json: %w", err)
	}
	return spec, nil
}

// validate says everything that is wrong at once.
func (s Spec) validate() error {
	var problems []error
	for _, problem := range validation.IsDNS1123Subdomain(s.Name) {
		problems = append(problems, fmt.Errorf("name %q: %s", s.Name, problem))
	}
	if err := controlplane.CheckVersion(s.Version); err != nil {
		problems = append(problems, err)
	}
	if s.APIPort < 0 || s.APIPort > 65535 {
		problems = append(problems, fmt.Errorf("apiPort %d is not a port", s.APIPort))
	}
	prefix, err := netip.ParsePrefix(s.LoadBalancerCIDR)
	if err != nil || !prefix.Addr().Is4() || !prefix.Addr().IsLoopback() {
		problems = append(problems, fmt.Errorf("loadBalancerCIDR %q is not a network in 127.0.0.0/8", s.LoadBalancerCIDR))
	}
	for _, registry := range s.InsecureRegistries {
		if host, _, err := net.SplitHostPort(registry); err != nil || host == "" {
			problems = append(problems, fmt.Errorf("insecureRegistries: %q is not host:port", registry))
		}
	}
	if len(s.OpenPorts) > maxOpenPorts || slices.Contains(s.OpenPorts, 0) {
		problems = append(problems, fmt.Errorf("openPorts: %d ports; at most %d can be named, each between 1 and 65535", len(s.OpenPorts), maxOpenPorts))
	}
	if err := checkAuthenticator(s.Authenticator); err != nil {
		problems = append(problems, err)
	}
	if len(s.Nodes) > maxNodes {
		problems = append(problems, fmt.Errorf("%d nodes are more than %d", len(s.Nodes), maxNodes))
	}
	seen := map[string]bool{}
	for _, node := range s.Nodes {
		if seen[node.Name] {
			problems = append(problems, fmt.Errorf("node %q is listed twice", node.Name))
		}
		seen[node.Name] = true
		problems = append(problems, node.validate()...)
	}
	return errors.Join(problems...)
}

// checkAuthenticator refuses a webhook that is not on this machine: it sees every
// token, and what it answers is believed.
func checkAuthenticator(text string) error {
	if text == "" {
		return nil
	}
	target, err := url.Parse(text)
	if err != nil || target.Scheme != "http" || target.User != nil || target.RawQuery != "" {
		return fmt.Errorf("authenticator %q is not a URL as http://127.0.0.1:9000/path", text)
	}
	address, err := netip.ParseAddrPort(target.Host)
	if err != nil || !address.Addr().IsLoopback() {
		return fmt.Errorf("authenticator %q is not an address of the machine's loopback with a port", text)
	}
	return nil
}

func (n NodeSpec) validate() []error {
	var problems []error
	for _, problem := range validation.IsDNS1123Subdomain(n.Name) {
		problems = append(problems, fmt.Errorf("node name %q: %s", n.Name, problem))
	}
	if n.CPU < 1 || n.MemoryMiB < 64 {
		problems = append(problems, fmt.Errorf("node %q: %d CPUs and %d MiB of memory are too few", n.Name, n.CPU, n.MemoryMiB))
	}
	for _, problem := range metav1validation.ValidateLabels(n.Labels, field.NewPath("labels")) {
		problems = append(problems, fmt.Errorf("node %q: %w", n.Name, problem))
	}
	return problems
}

// restartNeeded says whether going from s to wanted takes a new control plane:
// Kubernetes fixes its version and whom it asks about tokens, and we our addresses
// and what is open, when the process starts.
func (s Spec) restartNeeded(wanted Spec) bool {
	return s.Name != wanted.Name || s.Version != wanted.Version ||
		s.APIPort != wanted.APIPort || s.LoadBalancerCIDR != wanted.LoadBalancerCIDR ||
		s.Authenticator != wanted.Authenticator || !slices.Equal(s.OpenPorts, wanted.OpenPorts)
}
