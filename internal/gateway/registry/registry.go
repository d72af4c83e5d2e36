// Package registry is a region's list of what answers where, kept in etcd in the layout of go-micro's etcd registry, so that
// services which register themselves and services which Kubernetes runs are found in one place.
//
// Under /micro/registry/<service>/<node> lies the JSON of a service with that one node. An Instance is such a node once it
// has been read and found sound, which is not to say true: see mirror.Vouch. Watcher follows the registry, Registrar writes
// into it what Kubernetes runs. The package is not about how requests are sent anywhere: that is internal/gateway/upstream.
// Only the gateway imports it.
package registry

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// Prefix is where go-micro keeps its registry.
const Prefix = "/micro/registry/"

// Limits of one registered value.
const (
	maxValue    = 64 << 10
	maxNodes    = 64
	maxIdentity = 253
)

// Names in the metadata of services and nodes. Protocol is go-micro's own; the rest are ours.
const (
	metaAccess    = "access"    // of a service: "public" or "key"
	metaPreflight = "preflight" // of a service: who may send CORS preflights, "public" or "key"
	metaTimeout   = "timeout"   // of a service: how long one exchange may stand still ("30s")
	metaMaxBody   = "max_body"  // of a service: bytes of one request's body
	metaProtocol  = "protocol"  // of a node: "grpc" and "h2c" are spoken to in HTTP/2
	metaRelease   = "release"   // of a node: the number of its release
	metaRegistrar = "registrar" // of a node: who wrote it
)

// registrarName marks what a gateway has written for Kubernetes.
const registrarName = "m3o"

// Service is a value of the registry, as go-micro writes it.
type Service struct {
	Name      string            `json:"name"`
	Version   string            `json:"version"`
	Metadata  map[string]string `json:"metadata"`
	Endpoints []json.RawMessage `json:"endpoints"` // descriptions of methods, which routing has no use for
	Nodes     []Node            `json:"nodes"`
}

// Node is one address of a service.
type Node struct {
	ID       string            `json:"id"`
	Address  string            `json:"address"`
	Metadata map[string]string `json:"metadata"`
}

// Admission is who may call a service, and who may send it CORS preflights: browsers send those without a ticket, whatever they are
// to send afterwards.
type Admission struct {
	Access    release.Access
	Preflight release.Access
}

// Instance is one address that requests to a service can be sent to.
type Instance struct {
	Service   release.Key
	ID        string
	Address   string // ip:port
	Release   int    // 0: not one of ours
	Access    release.Access
	Preflight release.Access
	HTTP2     bool          // speaks HTTP/2 without TLS, always
	Timeout   time.Duration // 0: the gateway's own limit
	MaxBody   int64         // 0: the gateway's own limit
	Mirrored  bool          // written by a gateway for Kubernetes
}

// Key is where the node of a service lies. go-micro turns slashes in names into hyphens.
func Key(service, node string) string {
	return path.Join(Prefix, strings.ReplaceAll(service, "/", "-"), strings.ReplaceAll(node, "/", "-"))
}

// Key is where the instance lies.
func (i Instance) Key() string { return Key(Name(i.Service), i.ID) }

// Name is the name of a service in the registry.
func Name(key release.Key) string { return key.Project + "." + key.Name }

// Encode writes the instance as the registry keeps it.
func (i Instance) Encode() []byte {
	s := Service{Name: Name(i.Service), Version: "latest", Metadata: map[string]string{metaAccess: string(i.Access)}, Endpoints: []json.RawMessage{}}
	node := Node{ID: i.ID, Address: i.Address, Metadata: map[string]string{metaProtocol: "http"}}
	if i.Release > 0 {
		s.Version = strconv.Itoa(i.Release)
		node.Metadata[metaRelease] = s.Version
	}
	if i.HTTP2 {
		node.Metadata[metaProtocol] = "h2c"
	}
	if i.Preflight == release.Public {
		s.Metadata[metaPreflight] = string(i.Preflight)
	}
	if i.Timeout > 0 {
		s.Metadata[metaTimeout] = i.Timeout.String()
	}
	if i.MaxBody > 0 {
		s.Metadata[metaMaxBody] = strconv.FormatInt(i.MaxBody, 10)
	}
	if i.Mirrored {
		node.Metadata[metaRegistrar] = registrarName
	}
	s.Nodes = []Node{node}
	body, err := json.Marshal(s)
	if err != nil {
		panic("registry: strings cannot be marshalled: " + err.Error())
	}
	return body
}

// Parse reads one key and value of the registry. Names without a project belong to the given one. Whoever can write to
// the registry can write anything, so everything that is used is checked, and a value that is not sound routes nowhere.
func Parse(key string, value []byte, project string) ([]Instance, error) {
	if len(value) > maxValue {
		return nil, fmt.Errorf("value of %d bytes is larger than %d", len(value), maxValue)
	}
	var s Service
	if err := json.Unmarshal(value, &s); err != nil {
		return nil, fmt.Errorf("value is not a go-micro service: %w", err)
	}
	dir, _, _ := strings.Cut(strings.TrimPrefix(key, Prefix), "/")
	if !strings.HasPrefix(key, Prefix) || dir != strings.ReplaceAll(s.Name, "/", "-") {
		return nil, fmt.Errorf("value names the service %q, its key another", clip(s.Name))
	}
	service, ok := Split(s.Name, project)
	if !ok {
		return nil, fmt.Errorf("%q is neither <service> nor <project>.<service>", clip(s.Name))
	}
	if len(s.Nodes) == 0 || len(s.Nodes) > maxNodes {
		return nil, fmt.Errorf("%d nodes are not between 1 and %d", len(s.Nodes), maxNodes)
	}
	instances := make([]Instance, 0, len(s.Nodes))
	for _, node := range s.Nodes {
		instance, err := s.instance(service, node)
		if err != nil {
			return nil, err
		}
		instances = append(instances, instance)
	}
	return instances, nil
}

func (s Service) instance(service release.Key, node Node) (Instance, error) {
	if node.ID == "" || len(node.ID) > maxIdentity {
		return Instance{}, fmt.Errorf("node id of %d bytes is not between 1 and %d", len(node.ID), maxIdentity)
	}
	if err := checkAddress(node.Address); err != nil {
		return Instance{}, err
	}
	i := Instance{Service: service, ID: node.ID, Address: node.Address, Access: Access(s.Metadata[metaAccess]),
		Preflight: Access(s.Metadata[metaPreflight]),
		HTTP2:     slices.Contains([]string{"grpc", "h2c"}, node.Metadata[metaProtocol]),
		Timeout:   Timeout(s.Metadata[metaTimeout]),
		MaxBody:   MaxBody(s.Metadata[metaMaxBody]),
		Mirrored:  node.Metadata[metaRegistrar] == registrarName,
	}
	if n, err := strconv.Atoi(node.Metadata[metaRelease]); err == nil && n > 0 {
		i.Release = n
	}
	return i, nil
}

// Split reads a name of the registry: "<project>.<service>", or "<service>" of the given project.
func Split(name, project string) (release.Key, bool) {
	key := release.Key{Project: project, Name: name}
	if p, s, ok := strings.Cut(name, "."); ok {
		key = release.Key{Project: p, Name: s}
	}
	return key, region.IsLabel(key.Project) && region.IsLabel(key.Name)
}

// Access reads who may call: everybody only where that is said, holders of a ticket in every other case.
func Access(word string) release.Access {
	if release.Access(word) == release.Public {
		return release.Public
	}
	return release.ByKey
}

// Timeout reads how long an exchange may stand still; 0 when there is none, or none that makes sense.
func Timeout(word string) time.Duration {
	d, err := time.ParseDuration(word)
	if err != nil || d < time.Millisecond || d > 24*time.Hour {
		return 0
	}
	return d
}

// MaxBody reads a limit for bodies in bytes; 0 when there is none, or none that makes sense.
func MaxBody(word string) int64 {
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// checkAddress reports what is wrong with an address of the form ip:port. Names are refused: what one leads to can change
// after it was checked.
func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || len(address) > maxIdentity {
		return fmt.Errorf("address %q is not of the form ip:port", clip(address))
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("address %q has no port number", clip(address))
	}
	if ip, err := netip.ParseAddr(host); err != nil || ip.Zone() != "" {
		return fmt.Errorf("address %q is not that of an IP address", clip(address))
	}
	return nil
}

func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}
