package gcp

//lint:file-ignore SA1019 Fields that are deprecated are still what stock clients send and read.

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/protobuf/proto"

	"cloud.google.com/go/container/apiv1/containerpb"

	"github.com/m3o/platform/internal/sandbox/fleet"
	"github.com/m3o/platform/internal/sandbox/world"
)

// States of clusters and node pools, as the API has them.
const (
	stateProvisioning = "PROVISIONING"
	stateRunning      = "RUNNING"
	stateReconciling  = "RECONCILING"
	stateStopping     = "STOPPING"
	stateError        = "ERROR"
	stateDegraded     = "DEGRADED"
)

var clusterName = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$`)

// location is the place of the path, a region or a zone.
func (r *request) location() (string, error) {
	name := r.vars["location"]
	if _, isZone := regionOfZone(name); isZone {
		return name, nil
	}
	if _, isRegion := findRegion(name); isRegion {
		return name, nil
	}
	return "", invalid("Location %q does not exist.", name)
}

// family loads the cluster of the path.
func (r *request) family(tx *world.Tx) (*family, error) {
	name, location := r.vars["cluster"], r.vars["location"]
	all, err := world.Children[cluster](tx, ref(kindCluster, location))
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(c cluster) bool { return c.Name == name })
	if i < 0 {
		missing := cluster{Name: name, Location: location}
		return nil, notFound("Not found: %s.\nNo cluster named '%s' in %s.", missing.path(), name, ProjectID)
	}
	return loadFamily(tx, all[i].ID)
}

// idleFamily loads the cluster of the path, unless an operation of it is under way.
func (r *request) idleFamily(tx *world.Tx) (*family, error) {
	f, err := r.family(tx)
	if err != nil {
		return nil, err
	}
	if f.cluster.Operation != "" {
		return nil, incompatible(f.cluster.Operation)
	}
	if f.cluster.State != stateRunning && f.cluster.State != stateDegraded {
		return nil, precondition("Cluster %q is %s: it must be running.", f.cluster.Name, f.cluster.State)
	}
	return f, nil
}

// shown is the cluster as the API shows it.
func (f *family) shown() *containerpb.Cluster {
	c := f.cluster
	m := proto.CloneOf(c.Doc.M)
	m.Name, m.Id, m.Location, m.Zone = c.Name, c.ID, c.Location, c.Location
	m.Status = containerpb.Cluster_Status(containerpb.Cluster_Status_value[c.State])
	m.StatusMessage = c.Message
	if c.Message != "" && (c.State == stateError || c.State == stateDegraded) {
		m.Conditions = []*containerpb.StatusCondition{conditionOf(c.Message)}
	}
	if c.Lacking != "" && c.State == stateRunning {
		m.Conditions = append(m.Conditions, lackingCondition(c.Lacking))
	}
	m.CurrentMasterVersion, m.CurrentNodeVersion = c.Version, c.Version
	m.SelfLink = "https://container.googleapis.com/v1/" + c.path()
	m.CreateTime = c.Created.Format(time.RFC3339)
	m.Endpoint = c.Endpoint
	m.MasterAuth = &containerpb.MasterAuth{ClientCertificateConfig: &containerpb.ClientCertificateConfig{}}
	if c.CA != "" {
		m.MasterAuth.ClusterCaCertificate = base64.StdEncoding.EncodeToString([]byte(c.CA))
	}
	if c.Endpoint != "" {
		m.PrivateClusterConfig.PublicEndpoint = c.Endpoint
		m.ControlPlaneEndpointsConfig.IpEndpointsConfig.PublicEndpoint = c.Endpoint
	}
	m.LabelFingerprint = hex8(fmt.Sprint(m.ResourceLabels))
	m.Etag = hex8(fmt.Sprint(c.State, c.Version, c.Operation, len(f.nodes), m.ResourceLabels))
	for _, p := range f.pools {
		shown := f.shownPool(p)
		m.NodePools = append(m.NodePools, shown)
		m.InstanceGroupUrls = append(m.InstanceGroupUrls, shown.InstanceGroupUrls...)
		m.CurrentNodeVersion = shown.Version
		m.CurrentNodeCount += int32(len(f.nodesOf(p.ID)))
	}
	return m
}

// lackingCondition is how GKE warns of nodes that cannot write their logs and metrics. The cluster runs all the same.
func lackingCondition(email string) *containerpb.StatusCondition {
	return &containerpb.StatusCondition{Code: containerpb.StatusCondition_NODE_SERVICE_ACCOUNT_MISSING_PERMISSIONS, CanonicalCode: code.Code_PERMISSION_DENIED,
		Message: fmt.Sprintf("The node service account %s is missing permissions: grant it the role roles/container.defaultNodeServiceAccount.", email)}
}

// conditionOf says by a code what a message is about.
func conditionOf(text string) *containerpb.StatusCondition {
	c := &containerpb.StatusCondition{Code: containerpb.StatusCondition_UNKNOWN, CanonicalCode: code.Code_INTERNAL, Message: text}
	if strings.Contains(text, "does not have enough resources") {
		c.Code, c.CanonicalCode = containerpb.StatusCondition_GCE_STOCKOUT, code.Code_UNAVAILABLE
	}
	return c
}

func getCluster(r *request) (any, error) {
	var shown *containerpb.Cluster
	err := r.View(func(tx *world.Tx) error {
		f, err := r.family(tx)
		if err == nil {
			shown = f.shown()
		}
		return err
	})
	return shown, err
}

func listClusters(r *request) (any, error) {
	if r.vars["location"] != "-" {
		if _, err := r.location(); err != nil {
			return nil, err
		}
	}
	answer := &containerpb.ListClustersResponse{}
	err := r.View(func(tx *world.Tx) error {
		all, err := world.List[cluster](tx, ref(kindCluster, ""))
		if err != nil {
			return err
		}
		for _, one := range all {
			if r.vars["location"] != "-" && one.Location != r.vars["location"] {
				continue
			}
			f, err := loadFamily(tx, one.ID)
			if err != nil {
				return err
			}
			answer.Clusters = append(answer.Clusters, f.shown())
		}
		return nil
	})
	return answer, err
}

func createCluster(r *request) (any, error) {
	location, err := r.location()
	if err != nil {
		return nil, err
	}
	var asked containerpb.CreateClusterRequest
	if err := r.decodeProto(&asked); err != nil {
		return nil, err
	}
	m := asked.GetCluster()
	if m == nil {
		return nil, invalid("Cluster must be specified.")
	}
	if !clusterName.MatchString(m.GetName()) {
		return nil, invalid("Invalid value for field \"cluster.name\": %q. Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,38}[a-z0-9])?)'.", m.GetName())
	}
	var told *containerpb.Operation
	err = r.Commit(func(tx *world.Tx) error {
		f, o, err := r.newFamily(tx, m, location)
		if err != nil {
			return err
		}
		told = o.container(r.At)
		return r.addFamily(tx, f, o)
	})
	return told, err
}

// newFamily makes the cluster that was asked for, if it can be and the project has room for it.
func (r *request) newFamily(tx *world.Tx, m *containerpb.Cluster, location string) (*family, operation, error) {
	var o operation
	place, err := r.freePlace(tx, m.Name, location)
	if err != nil {
		return nil, o, err
	}
	asked := m.NodePools
	if err := r.complete(tx, m, location); err != nil {
		return nil, o, err
	}
	version, known := resolveVersion(m.InitialClusterVersion, r.cloud.Versions)
	if !known {
		return nil, o, invalid("Master version %q is unsupported.", m.InitialClusterVersion)
	}
	m.InitialClusterVersion = version
	if len(asked) == 0 {
		if m.InitialNodeCount < 1 {
			return nil, o, invalid("Cluster.initial_node_count must be greater than zero.")
		}
		asked = []*containerpb.NodePool{{Name: "default-pool", InitialNodeCount: m.InitialNodeCount, Config: m.NodeConfig}}
	}
	m.NodePools, m.InitialNodeCount, m.NodeConfig = nil, 0, nil
	id, err := randomHex(64)
	if err != nil {
		return nil, o, err
	}
	number, err := newID()
	if err != nil {
		return nil, o, err
	}
	f := &family{cluster: cluster{ID: id, Name: m.Name, Location: location, Number: number, Doc: message[*containerpb.Cluster]{m},
		State: stateProvisioning, Version: version, Place: place, Created: r.At}}
	if o, err = r.clusterOperation(tx, f, containerpb.Operation_CREATE_CLUSTER, clusterCreation); err != nil {
		return nil, o, err
	}
	f.cluster.Operation, f.cluster.Born = o.Name, o.Name
	for _, p := range asked {
		if err := r.addPool(tx, f, p, o); err != nil {
			return nil, o, err
		}
	}
	return f, o, r.roomFor(tx, f.cluster.Location, f.pools, f.nodes)
}

// freePlace finds where the runner can keep one more cluster, and refuses a name that another has there.
func (r *request) freePlace(tx *world.Tx, name, location string) (string, error) {
	all, err := world.List[cluster](tx, ref(kindCluster, ""))
	if err != nil {
		return "", err
	}
	for _, one := range all {
		if one.Name == name && one.Location == location {
			return "", exists("Already exists: %s.", one.path())
		}
	}
	place, found, err := fleet.FreePlace(tx, r.cloud.Runner.Places())
	if err != nil || found && len(all) < maxClusters {
		return place, err
	}
	return "", &refusal{status: 429, code: "RESOURCE_EXHAUSTED", reason: "quotaExceeded",
		message: fmt.Sprintf("Project has reached its limit of clusters: quota CLUSTERS, the sandbox has room for %d.", len(r.cloud.Runner.Places()))}
}

// addFamily writes a new cluster down, with all it consists of.
func (r *request) addFamily(tx *world.Tx, f *family, o operation) error {
	effect := r.Effect(world.Created, kindCluster, f.cluster.ID, f.cluster.Name)
	effect.State, effect.Parent, effect.Tags = strings.ToLower(f.cluster.State), f.cluster.Doc.M.GetNetworkConfig().GetNetwork(), labelTags(f.cluster.Doc.M.ResourceLabels)
	problems := []error{putOperation(tx, o), putCluster(tx, f.cluster), tx.Record(effect)}
	for _, p := range f.pools {
		problems = append(problems, putPool(tx, p), tx.Record(r.poolEffect(world.Created, p)))
	}
	for _, n := range f.nodes {
		problems = append(problems, r.recordNode(tx, n))
	}
	return errors.Join(append(problems, r.addFirewalls(tx, f))...)
}

// labelTags are labels as the ledger has tags.
func labelTags(labels map[string]string) []string {
	tags := make([]string, 0, len(labels))
	for key, value := range labels {
		tags = append(tags, key+"="+value)
	}
	slices.Sort(tags)
	return tags
}

// addFirewalls makes the rules that GKE makes for a cluster.
func (r *request) addFirewalls(tx *world.Tx, f *family) error {
	c := f.cluster
	tag := nodeTag(c)
	policy := c.Doc.M.GetIpAllocationPolicy()
	var problems []error
	for suffix, rule := range map[string]document{
		"all": {"sourceRanges": []string{policy.GetClusterIpv4CidrBlock()}, "priority": 1000, "targetTags": []string{tag},
			"allowed": []document{{"IPProtocol": "tcp"}, {"IPProtocol": "udp"}, {"IPProtocol": "icmp"}, {"IPProtocol": "esp"}, {"IPProtocol": "ah"}, {"IPProtocol": "sctp"}}},
		"vms": {"sourceRanges": []string{policy.GetNodeIpv4CidrBlock()}, "priority": 1000, "targetTags": []string{tag},
			"allowed": []document{{"IPProtocol": "tcp", "ports": []string{"1-65535"}}, {"IPProtocol": "udp", "ports": []string{"1-65535"}}, {"IPProtocol": "icmp"}}},
		"inkubelet": {"sourceRanges": []string{policy.GetClusterIpv4CidrBlock()}, "sourceTags": []string{tag}, "targetTags": []string{tag}, "priority": 999,
			"allowed": []document{{"IPProtocol": "tcp", "ports": []string{"10255"}}}},
		"exkubelet": {"sourceRanges": []string{"0.0.0.0/0"}, "targetTags": []string{tag}, "priority": 1000,
			"denied": []document{{"IPProtocol": "tcp", "ports": []string{"10255"}}}},
	} {
		rule["network"], rule["direction"], rule["disabled"], rule["logConfig"] = computeLink(c.Doc.M.GetNetworkConfig().GetNetwork()), "INGRESS", false, document{"enable": false}
		rule["description"] = ""
		id, err := newID()
		if err != nil {
			return err
		}
		made := resource{Collection: "firewalls", Scope: global, Name: "gke-" + c.Name + "-" + c.hash() + "-" + suffix, ID: id, Doc: rule,
			CreatedAt: r.At, Cluster: c.ID, GKE: true}
		effect := r.Effect(world.Created, "firewall", made.ID, made.Name)
		effect.Parent = c.ID
		problems = append(problems, putResource(tx, made), tx.Record(effect))
	}
	return errors.Join(problems...)
}

// nodeTag is the network tag of a cluster's nodes.
func nodeTag(c cluster) string { return "gke-" + c.Name + "-" + c.hash() + "-node" }

// deleteCluster begins a cluster's end. One that is stuck on its way out can be asked again.
func deleteCluster(r *request) (any, error) {
	var told *containerpb.Operation
	err := r.Commit(func(tx *world.Tx) error {
		f, err := r.family(tx)
		if err != nil {
			return err
		}
		if err := f.endStuck(tx, r.At); err != nil {
			return err
		}
		if f.cluster.Operation != "" {
			return incompatible(f.cluster.Operation)
		}
		o, err := r.clusterOperation(tx, f, containerpb.Operation_DELETE_CLUSTER, clusterDeletion)
		if err != nil {
			return err
		}
		told = o.container(r.At)
		f.cluster.State, f.cluster.Message, f.cluster.Operation = stateStopping, "", o.Name
		for _, p := range f.pools {
			p.State = stateStopping
			err = errors.Join(err, putPool(tx, p))
		}
		effect := r.Effect(world.Updated, kindCluster, f.cluster.ID, f.cluster.Name)
		effect.State = strings.ToLower(stateStopping)
		return errors.Join(err, putOperation(tx, o), putCluster(tx, f.cluster), tx.Record(effect))
	})
	return told, err
}

// endStuck gives up a deletion that would never end, for another one.
func (f *family) endStuck(tx *world.Tx, now time.Time) error {
	if f.cluster.State != stateStopping {
		return nil
	}
	o, err := world.Get[operation](tx, ref(kindOperation, f.cluster.Operation))
	if err != nil || !o.Transition.Stuck {
		return err
	}
	f.cluster.Operation = ""
	return o.end(tx, now, "ABORTED", "The operation was superseded by another deletion.")
}

// clusterOperation is this request's operation on a cluster, with the faults that want to spoil it.
func (r *request) clusterOperation(tx *world.Tx, f *family, kind containerpb.Operation_Type, takes time.Duration) (operation, error) {
	o, err := r.newOperation(serviceContainer, f.cluster.Location, kind.String())
	if err != nil {
		return o, err
	}
	o.Target, o.TargetID, o.Kind, o.Key = f.cluster.path(), f.cluster.Number, kindCluster, f.cluster.ID
	if kind == containerpb.Operation_DELETE_CLUSTER || kind == containerpb.Operation_DELETE_NODE_POOL {
		o.Transition, err = r.BeginEnd(tx, o.Name, takes)
		return o, err
	}
	o.Transition, err = r.Begin(tx, o.Name, takes, fmt.Sprintf(
		"Google Compute Engine: The zone 'projects/%s/zones/%s' does not have enough resources available to fulfill the request. Try a different zone, or try again later.",
		ProjectID, cmp.Or(f.firstZone(), f.cluster.Location)))
	return o, err
}

func (f *family) firstZone() string {
	if zones := f.cluster.Doc.M.GetLocations(); len(zones) > 0 {
		return zones[0]
	}
	return ""
}
