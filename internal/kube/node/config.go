package node

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/m3o/platform/internal/kube/addresses"
)

const (
	// APISocket is the socket, in Config.SocketDir, that leads to the API server.
	APISocket = "api.sock"
	// UplinkSocket is the socket, in Config.SocketDir, that carries the node's frames.
	UplinkSocket = "uplink.sock"
	// KubeletPort is where a kubelet listens on its node's address.
	KubeletPort = 10250
)

// Config is what a node process needs to know. The cluster writes it, with the
// credentials beside it, before it starts the process.
type Config struct {
	Name string `json:"name"`
	// Index is what the node's addresses are made of; see package addresses.
	Index     int               `json:"index"`
	CPU       int               `json:"cpu"`
	MemoryMiB int               `json:"memoryMiB"`
	Labels    map[string]string `json:"labels"`
	// Version is the Kubernetes version the kubelet presents, as "v1.34.0".
	Version string `json:"version"`
	// Dir is the node's own directory, ClusterDir the cluster's, in which it is,
	// VolumesDir and SocketDir are where volumes and sockets are.
	Dir        string `json:"dir"`
	ClusterDir string `json:"clusterDir"`
	VolumesDir string `json:"volumesDir"`
	SocketDir  string `json:"socketDir"`
	// APIServer is the name under which the API server's certificate is checked.
	APIServer string `json:"apiServer"`
	// InsecureRegistries are asked in plain HTTP, as "host:port".
	InsecureRegistries []string `json:"insecureRegistries,omitempty"`
}

// Address is the node's own address on its bridge.
func (c Config) Address() netip.Addr {
	return addresses.Node(c.Index)
}

// File is where the configuration of the node in dir is.
func File(dir string) string { return filepath.Join(dir, "node.json") }

// ClientCert, ClientKey, ServerCert, ServerKey and AuthorityCert are where the
// cluster puts the node's credentials.
func (c Config) ClientCert() string    { return filepath.Join(c.Dir, "pki", "client.crt") }
func (c Config) ClientKey() string     { return filepath.Join(c.Dir, "pki", "client.key") }
func (c Config) ServerCert() string    { return filepath.Join(c.Dir, "pki", "server.crt") }
func (c Config) ServerKey() string     { return filepath.Join(c.Dir, "pki", "server.key") }
func (c Config) AuthorityCert() string { return filepath.Join(c.Dir, "pki", "ca.crt") }

func (c Config) runtimeDir() string { return filepath.Join(c.Dir, "runtime") }
func (c Config) resolver() string   { return filepath.Join(c.Dir, "resolv.conf") }

// Where the kubelet keeps things, as on any node. The node's own directory has
// folders for them, which are mounted there: the kubelet's sockets have names
// that would be too long in a deep directory.
const (
	kubeletDir = "/var/lib/kubelet"
	logsDir    = "/var/log/pods"
	pluginsDir = kubeletDir + "/volume-plugins"
)

// mounts are the folders of the node's own directory and their places.
func (c Config) mounts() map[string]string {
	return map[string]string{
		filepath.Join(c.Dir, "kubelet"): kubeletDir,
		filepath.Join(c.Dir, "logs"):    logsDir,
	}
}

// load reads the configuration of the node in dir.
func load(dir string) (Config, error) {
	data, err := os.ReadFile(File(dir))
	if err != nil {
		return Config{}, fmt.Errorf("read the node's configuration: %w", err)
	}
	var config Config
	if err := json.Unmarshal(data, &config); err != nil {
		return Config{}, fmt.Errorf("read the node's configuration: %w", err)
	}
	return config, nil
}
