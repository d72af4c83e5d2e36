package digitalocean

import (
	"strings"
	"time"
)

// The shapes of requests and answers, as in the official API description.

// stamp is a time in the API's form: UTC, whole seconds.
type stamp time.Time

// MarshalJSON implements json.Marshaler.
func (s stamp) MarshalJSON() ([]byte, error) {
	return []byte(`"` + time.Time(s).UTC().Format(time.RFC3339) + `"`), nil
}

type wireVPC struct {
	ID          string `json:"id"`
	URN         string `json:"urn"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Region      string `json:"region"`
	IPRange     string `json:"ip_range"`
	Default     bool   `json:"default"`
	CreatedAt   stamp  `json:"created_at"`
}

type wireMember struct {
	URN       string `json:"urn"`
	Name      string `json:"name"`
	CreatedAt stamp  `json:"created_at"`
}

// settings is an object that is kept and given back as it came.
type settings map[string]any

// plugins are the parts of a cluster that are only kept and given back: in the sandbox they have no effect.
type plugins struct {
	ControlPlaneFirewall settings `json:"control_plane_firewall,omitempty"`
	ClusterAutoscaler    settings `json:"cluster_autoscaler_configuration,omitempty"`
	RoutingAgent         settings `json:"routing_agent,omitempty"`
	AMDDevices           settings `json:"amd_gpu_device_plugin,omitempty"`
	AMDMetrics           settings `json:"amd_gpu_device_metrics_exporter_plugin,omitempty"`
	NvidiaDevices        settings `json:"nvidia_gpu_device_plugin,omitempty"`
	RDMA                 settings `json:"rdma_shared_dev_plugin,omitempty"`
	CoreDNSAutoscaler    settings `json:"coredns_autoscaler,omitempty"`
	SSO                  settings `json:"sso,omitempty"`
	PeerRegistry         settings `json:"p2p_oci_registry_plugin,omitempty"`
}

type maintenance struct {
	StartTime string `json:"start_time"`
	Duration  string `json:"duration"`
	Day       string `json:"day"`
}

type wireStatus struct {
	State   string `json:"state"`
	Message string `json:"message,omitempty"`
}

type wireCluster struct {
	ID                string       `json:"id"`
	Name              string       `json:"name"`
	Region            string       `json:"region"`
	Version           string       `json:"version"`
	ClusterSubnet     string       `json:"cluster_subnet"`
	ServiceSubnet     string       `json:"service_subnet"`
	VPC               string       `json:"vpc_uuid"`
	IPv4              string       `json:"ipv4"`
	Endpoint          string       `json:"endpoint"`
	Tags              []string     `json:"tags"`
	NodePools         []wirePool   `json:"node_pools"`
	MaintenancePolicy *maintenance `json:"maintenance_policy"`
	AutoUpgrade       bool         `json:"auto_upgrade"`
	SurgeUpgrade      bool         `json:"surge_upgrade"`
	HA                bool         `json:"ha"`
	RegistryEnabled   bool         `json:"registry_enabled"`
	IsolatedWorkers   bool         `json:"isolated_workers"`
	Status            wireStatus   `json:"status"`
	CreatedAt         stamp        `json:"created_at"`
	UpdatedAt         stamp        `json:"updated_at"`
	plugins
}

type wirePool struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Size      string            `json:"size"`
	Count     int               `json:"count"`
	Tags      []string          `json:"tags"`
	Labels    map[string]string `json:"labels"`
	Taints    []taint           `json:"taints"`
	AutoScale bool              `json:"auto_scale"`
	MinNodes  int               `json:"min_nodes"`
	MaxNodes  int               `json:"max_nodes"`
	Nodes     []wireNode        `json:"nodes"`
}

type taint struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Effect string `json:"effect"`
}

type wireNode struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Status    wireStatus `json:"status"`
	DropletID string     `json:"droplet_id"`
	CreatedAt stamp      `json:"created_at"`
	UpdatedAt stamp      `json:"updated_at"`
}

// clusterRequest is what one sends to make a cluster.
type clusterRequest struct {
	Name              string        `json:"name"`
	Region            string        `json:"region"`
	Version           string        `json:"version"`
	Tags              []string      `json:"tags"`
	VPC               string        `json:"vpc_uuid"`
	WorkerSubnet      string        `json:"worker_subnet_uuid"`
	ClusterSubnet     string        `json:"cluster_subnet"`
	ServiceSubnet     string        `json:"service_subnet"`
	NodePools         []poolRequest `json:"node_pools"`
	MaintenancePolicy *maintenance  `json:"maintenance_policy"`
	AutoUpgrade       bool          `json:"auto_upgrade"`
	SurgeUpgrade      bool          `json:"surge_upgrade"`
	HA                *bool         `json:"ha"`
	IsolatedWorkers   bool          `json:"isolated_workers"`
	plugins
}

// clusterUpdate is what one sends to change a cluster.
type clusterUpdate struct {
	Name              string       `json:"name"`
	Tags              *[]string    `json:"tags"`
	MaintenancePolicy *maintenance `json:"maintenance_policy"`
	AutoUpgrade       *bool        `json:"auto_upgrade"`
	SurgeUpgrade      *bool        `json:"surge_upgrade"`
	HA                *bool        `json:"ha"`
	plugins
}

type poolRequest struct {
	Name      string            `json:"name"`
	Size      string            `json:"size"`
	Count     int               `json:"count"`
	Tags      []string          `json:"tags"`
	Labels    map[string]string `json:"labels"`
	Taints    []taint           `json:"taints"`
	AutoScale bool              `json:"auto_scale"`
	MinNodes  int               `json:"min_nodes"`
	MaxNodes  int               `json:"max_nodes"`
}

type poolUpdate struct {
	Name      string             `json:"name"`
	Count     *int               `json:"count"`
	Tags      *[]string          `json:"tags"`
	Labels    *map[string]string `json:"labels"`
	Taints    []taint            `json:"taints"`
	AutoScale bool               `json:"auto_scale"`
}

// urn is a resource's uniform name.
func urn(kind, id string) string { return "do:" + strings.ToLower(kind) + ":" + id }
