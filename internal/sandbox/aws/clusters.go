package aws

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/fleet"
	"github.com/m3o/platform/internal/sandbox/world"
)

var clusterOperations = []operation{
	{name: "CreateCluster", route: "POST " + onClusters, handle: createCluster},
	{name: "ListClusters", route: "GET " + onClusters, handle: listClusters},
	{name: "DescribeCluster", route: "GET " + onCluster, handle: describeCluster},
	{name: "DeleteCluster", route: "DELETE " + onCluster, handle: deleteCluster},
	{name: "UpdateClusterConfig", route: "POST " + onCluster + "/update-config", handle: updateClusterConfig},
	{name: "UpdateClusterVersion", route: "POST " + onUpdates, handle: updateClusterVersion},
	{name: "DescribeUpdate", route: "GET " + onUpdates + "/{updateId}", handle: describeUpdate},
	{name: "ListUpdates", route: "GET " + onUpdates, handle: listUpdates},
	{name: "DescribeClusterVersions", route: "GET /cluster-versions", handle: describeVersions},
	{name: "TagResource", route: "POST /tags/{resourceArn}", handle: tagResource},
	{name: "UntagResource", route: "DELETE /tags/{resourceArn}", handle: untagResource},
	{name: "ListTagsForResource", route: "GET /tags/{resourceArn}", handle: listTags},
}

// The statuses of clusters, node groups and add-ons.
const (
	statusCreating     = "CREATING"
	statusActive       = "ACTIVE"
	statusUpdating     = "UPDATING"
	statusDeleting     = "DELETING"
	statusFailed       = "FAILED"
	statusDegraded     = "DEGRADED"
	statusCreateFailed = "CREATE_FAILED"
)

// cluster is a cluster as it is kept.
type cluster struct {
	Shown  shownCluster
	Region string
	// Real is the id by which the runner knows it, another one for each cluster that ever had the name.
	Real  string
	Place string `json:"place"`
	// Creator is who made it, the only one let in where there are no access entries.
	Creator    string
	Transition world.Transition
	// Update is the id of the update under way, Target what it changes the version to, Access what it changes the access to.
	Update string
	Target string
	Access *vpcAccess
}

// Key is what the cluster is kept by.
func (c cluster) Key() string { return clusterKey(c.Region, c.Shown.Name) }

// shownCluster is a cluster as EKS shows it.
type shownCluster struct {
	Name             string            `json:"name"`
	ARN              string            `json:"arn"`
	CreatedAt        stamp             `json:"createdAt"`
	Version          string            `json:"version"`
	Endpoint         string            `json:"endpoint,omitempty"`
	RoleARN          string            `json:"roleArn"`
	VPC              vpcConfig         `json:"resourcesVpcConfig"`
	Network          networkConfig     `json:"kubernetesNetworkConfig"`
	Logging          logging           `json:"logging"`
	Identity         *identity         `json:"identity,omitempty"`
	Status           string            `json:"status"`
	Authority        authority         `json:"certificateAuthority"`
	Token            string            `json:"clientRequestToken,omitempty"`
	PlatformVersion  string            `json:"platformVersion"`
	Tags             map[string]string `json:"tags"`
	EncryptionConfig []struct{}        `json:"encryptionConfig,omitempty"`
	Health           health            `json:"health"`
	AccessConfig     accessConfig      `json:"accessConfig"`
	UpgradePolicy    upgradePolicy     `json:"upgradePolicy"`
}

type vpcConfig struct {
	Subnets      []string `json:"subnetIds"`
	Groups       []string `json:"securityGroupIds"`
	ClusterGroup string   `json:"clusterSecurityGroupId,omitempty"`
	ID           string   `json:"vpcId,omitempty"`
	vpcAccess
}

type vpcAccess struct {
	Public      *bool    `json:"endpointPublicAccess"`
	Private     *bool    `json:"endpointPrivateAccess"`
	PublicCIDRs []string `json:"publicAccessCidrs"`
}

type networkConfig struct {
	Services string `json:"serviceIpv4Cidr"`
	Family   string `json:"ipFamily"`
}

type logging struct {
	Cluster []logSetup `json:"clusterLogging"`
}

type logSetup struct {
	Types   []string `json:"types"`
	Enabled bool     `json:"enabled"`
}

type identity struct {
	OIDC issuer `json:"oidc"`
}

type issuer struct {
	URL string `json:"issuer"`
}

type authority struct {
	Data string `json:"data,omitempty"`
}

type accessConfig struct {
	// Bootstrap is only told to the one who asks for it.
	Bootstrap *bool  `json:"bootstrapClusterCreatorAdminPermissions,omitempty"`
	Mode      string `json:"authenticationMode,omitempty"`
}

type upgradePolicy struct {
	Support string `json:"supportType"`
}

// clusterRequest asks for a cluster.
type clusterRequest struct {
	Name       string            `json:"name"`
	Version    string            `json:"version"`
	RoleARN    string            `json:"roleArn"`
	VPC        vpcConfig         `json:"resourcesVpcConfig"`
	Network    networkConfig     `json:"kubernetesNetworkConfig"`
	Logging    logging           `json:"logging"`
	Token      string            `json:"clientRequestToken"`
	Tags       map[string]string `json:"tags"`
	Access     accessConfig      `json:"accessConfig"`
	SelfAddons *bool             `json:"bootstrapSelfManagedAddons"`
	Upgrade    upgradePolicy     `json:"upgradePolicy"`
}

// inConfigMap is the mode in which a cluster has no access entries: only its creator is let in, and whom an object in it names, which
// the sandbox does not read.
const inConfigMap = "CONFIG_MAP"

var clusterName = regexp.MustCompile(`^[0-9A-Za-z][A-Za-z0-9\-_]*$`)

func invalid(format string, args ...any) error {
	return refuse("InvalidParameterException", format, args...)
}

// check says what is wrong with a request by itself, and fills in what it leaves out.
func (r *clusterRequest) check(offered []string) error {
	if !clusterName.MatchString(r.Name) || len(r.Name) > 100 {
		return invalid("The cluster name %.110q must match %s and have at most 100 characters", r.Name, clusterName)
	}
	if r.Version == "" {
		r.Version = offered[0]
	}
	if !slices.Contains(offered, r.Version) {
		return invalid("unsupported Kubernetes version %.20s", r.Version)
	}
	if r.Network.Family != "" && r.Network.Family != "ipv4" {
		return invalid("The sandbox's clusters have the ipFamily ipv4")
	}
	if r.Network.Services == "" {
		r.Network.Services = "172.20.0.0/16"
	}
	r.Network.Family = "ipv4"
	if prefix, err := netip.ParsePrefix(r.Network.Services); err != nil || !prefix.Addr().IsPrivate() || prefix.Bits() < 12 || prefix.Bits() > 24 {
		return invalid("Value passed to serviceIpv4Cidr %.40q is invalid: it must be a private block between /24 and /12", r.Network.Services)
	}
	if r.Access.Mode == "" {
		r.Access.Mode = inConfigMap
	}
	if !slices.Contains([]string{"API", "API_AND_CONFIG_MAP", inConfigMap}, r.Access.Mode) {
		return invalid("authenticationMode %.40q is none of API, API_AND_CONFIG_MAP, CONFIG_MAP", r.Access.Mode)
	}
	if r.Upgrade.Support == "" {
		r.Upgrade.Support = "EXTENDED"
	}
	if err := r.VPC.complete(); err != nil {
		return err
	}
	return checkEKSTags(r.Tags)
}

// complete fills in what a request leaves out of the access to the API server, and refuses what cannot be.
func (a *vpcAccess) complete() error {
	yes, no := true, false
	if a.Public == nil {
		a.Public = &yes
	}
	if a.Private == nil {
		a.Private = &no
	}
	if !*a.Public && !*a.Private {
		return invalid("Private and public endpoint access cannot both be false.")
	}
	if a.PublicCIDRs == nil {
		a.PublicCIDRs = []string{}
	}
	if *a.Public && len(a.PublicCIDRs) == 0 {
		a.PublicCIDRs = []string{"0.0.0.0/0"}
	}
	if len(a.PublicCIDRs) > 40 {
		return invalid("The number of CIDR blocks exceeds the maximum of 40.")
	}
	for _, text := range a.PublicCIDRs {
		prefix, err := netip.ParsePrefix(text)
		if err != nil || prefix != prefix.Masked() || !prefix.Addr().Is4() {
			return invalid("The following CIDRs are invalid in publicAccessCidrs: [%.40s]", text)
		}
		if prefix.Addr().IsPrivate() || prefix.Addr().IsLoopback() && prefix.Bits() < 8 {
			return invalid("The following CIDRs are not allowed in publicAccessCidrs: [%s]", text)
		}
	}
	return nil
}

func listClusters(x *exchange) (any, error) {
	var names []string
	err := x.view(func(tx *world.Tx) error {
		list, err := all(tx, kindCluster, func(c cluster) bool { return c.Region == x.region })
		for _, c := range list {
			names = append(names, c.Shown.Name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	return x.pageOf("clusters", names)
}

func describeCluster(x *exchange) (any, error) {
	var c cluster
	err := x.view(func(tx *world.Tx) (err error) {
		c, err = x.cluster(tx)
		return err
	})
	return map[string]any{"cluster": c.Shown}, err
}

func createCluster(x *exchange) (any, error) {
	var asked clusterRequest
	if err := x.decode(&asked); err != nil {
		return nil, err
	}
	if err := asked.check(x.cloud.Versions); err != nil {
		return nil, err
	}
	var c cluster
	err := x.commit(func(tx *world.Tx) (err error) {
		c, err = world.Get[cluster](tx, ref(kindCluster, clusterKey(x.region, asked.Name)))
		switch {
		case err == nil && asked.Token != "" && c.Shown.Token == asked.Token && c.Shown.Status != statusDeleting:
			return nil
		case err == nil:
			return with(refuseAs(409, "ResourceInUseException", "Cluster already exists with name: %s", asked.Name), "clusterName", asked.Name)
		case !isNotFound(err):
			return err
		}
		c, err = x.newCluster(tx, asked)
		return err
	})
	return map[string]any{"cluster": c.Shown}, err
}

// newCluster makes a cluster with what it has in the account: network interfaces in its subnets, and a security group.
func (x *exchange) newCluster(tx *world.Tx, asked clusterRequest) (cluster, error) {
	if err := x.checkRole(tx, asked.RoleARN, "eks.amazonaws.com"); err != nil {
		return cluster{}, err
	}
	subnets, err := x.clusterSubnets(tx, asked.VPC)
	if err != nil {
		return cluster{}, err
	}
	others, err := all(tx, kindCluster, func(o cluster) bool { return o.Region == x.region })
	if err != nil {
		return cluster{}, err
	}
	if len(others) >= maxClusters {
		return cluster{}, x.overQuota()
	}
	place, err := x.cloud.freePlace(tx)
	if err != nil {
		return cluster{}, err
	}
	c := cluster{Region: x.region, Real: newUUID(), Place: place, Creator: x.cloud.user()}
	c.Shown = shownCluster{Name: asked.Name, ARN: x.arn("eks", "cluster/"+asked.Name), CreatedAt: stamp{x.At}, Version: asked.Version, RoleARN: asked.RoleARN, VPC: asked.VPC,
		Network: asked.Network, Logging: asked.Logging.complete(), Status: statusCreating, Token: asked.Token, PlatformVersion: "eks.1", Tags: asked.Tags, Health: healthy,
		AccessConfig: accessConfig{Mode: asked.Access.Mode}, UpgradePolicy: asked.Upgrade}
	if c.Shown.Tags == nil {
		c.Shown.Tags = map[string]string{}
	}
	if c.Shown.VPC.Groups == nil {
		c.Shown.VPC.Groups = []string{}
	}
	c.Shown.VPC.ID = subnets[0].VPC
	if c.Transition, err = x.Begin(tx, c.Real, clusterCreation, "the control plane could not be created: an internal error occurred"); err != nil {
		return c, err
	}
	if err := x.houseCluster(tx, &c, subnets); err != nil {
		return c, err
	}
	effect := x.Effect(world.Created, kindCluster, c.Shown.ARN, c.Shown.Name)
	effect.Tags, effect.State, effect.Parent = tagsOf(asked.Tags).texts(), statusCreating, c.Shown.VPC.ID
	err = errors.Join(putCluster(tx, c), tx.Record(effect))
	bootstraps := asked.Access.Bootstrap == nil || *asked.Access.Bootstrap
	if bootstraps && asked.Access.Mode != inConfigMap {
		err = errors.Join(err, x.addEntry(tx, c, entry{Shown: shownEntry{Principal: x.cloud.user(), Type: "STANDARD"},
			Policies: []associatedPolicy{{ARN: accessPolicyPrefix + "AmazonEKSClusterAdminPolicy", Scope: accessScope{Type: "cluster", Namespaces: []string{}}, At: stamp{x.At}, Changed: stamp{x.At}}}}))
	}
	return c, err
}

// complete says of all kinds of logs whether they are kept.
func (l logging) complete() logging {
	on, off := []string{}, []string{}
	for _, kind := range []string{"api", "audit", "authenticator", "controllerManager", "scheduler"} {
		enabled := slices.ContainsFunc(l.Cluster, func(s logSetup) bool { return s.Enabled && slices.Contains(s.Types, kind) })
		if enabled {
			on = append(on, kind)
		} else {
			off = append(off, kind)
		}
	}
	l.Cluster = []logSetup{}
	if len(on) > 0 {
		l.Cluster = append(l.Cluster, logSetup{on, true})
	}
	if len(off) > 0 {
		l.Cluster = append(l.Cluster, logSetup{off, false})
	}
	return l
}

// clusterSubnets loads the subnets of a new cluster and refuses those that it cannot have.
func (x *exchange) clusterSubnets(tx *world.Tx, asked vpcConfig) ([]subnet, error) {
	var subnets []subnet
	where, _ := findRegion(x.region)
	zones := map[string]bool{}
	for _, id := range asked.Subnets {
		s, err := world.Get[subnet](tx, ref(kindSubnet, id))
		if isNotFound(err) || err == nil && s.Region != x.region {
			return nil, invalid("The subnet ID '%.40s' does not exist (Service: Ec2, Status Code: 400, Request ID: %s)", id, x.ID)
		}
		if err != nil {
			return nil, err
		}
		if slices.Contains(withoutEKS, s.ZoneID) {
			valid := slices.DeleteFunc(where.zoneNames(), func(zone string) bool { return slices.Contains(withoutEKS, where.zoneID(zone)) })
			return nil, with(refuse("UnsupportedAvailabilityZoneException", "Cannot create cluster because %s, the targeted availability zone, does not currently have sufficient capacity to support the cluster. Retry and choose from these availability zones: %s",
				s.Zone, joined(valid)), "validZones", valid)
		}
		if len(subnets) > 0 && s.VPC != subnets[0].VPC {
			return nil, invalid("Subnets specified must be in the same VPC")
		}
		subnets, zones[s.Zone] = append(subnets, s), true
	}
	if len(zones) < 2 {
		return nil, invalid("Subnets specified must be in at least two different AZs")
	}
	v, err := world.Get[vpc](tx, ref(kindVPC, subnets[0].VPC))
	if err == nil && *asked.Private && !(v.Attributes["enableDnsSupport"] && v.Attributes["enableDnsHostnames"]) {
		err = invalid("Private endpoint access needs enableDnsSupport and enableDnsHostnames of the VPC %s", v.ID)
	}
	return subnets, err
}

// houseCluster makes the network interfaces of the control plane and the security group of the cluster.
func (x *exchange) houseCluster(tx *world.Tx, c *cluster, subnets []subnet) error {
	v, err := world.Get[vpc](tx, ref(kindVPC, c.Shown.VPC.ID))
	if err != nil {
		return err
	}
	marks := tags{{"Name", "eks-cluster-sg-" + c.Shown.Name + "-" + number(int(c.Real[0])) + c.Real[:7]}, {"aws:eks:cluster-name", c.Shown.Name}, {"kubernetes.io/cluster/" + c.Shown.Name, "owned"}}
	for _, t := range tagsOf(c.Shown.Tags) { // EKS gives its security group the cluster's own as well
		if t.Key != "Name" {
			marks = append(marks, t)
		}
	}
	g := newGroup(x.cloud.Account, v, marks.name(""), "EKS created security group applied to ENI that is attached to EKS Control Plane master nodes, as well as any managed workloads.", marks)
	g.Rules, g.Cluster = append(g.Rules, amongItself(g)), c.Key()
	c.Shown.VPC.ClusterGroup = g.ID
	err = errors.Join(put(tx, kindGroup, g), x.record(tx, world.Created, kindGroup, g.ID, marks.name(g.ID), marks))
	zones := map[string]bool{}
	for _, s := range subnets {
		if zones[s.Zone] || len(zones) == 2 { // one in each of two zones
			continue
		}
		zones[s.Zone] = true
		i, made := x.newInterface(tx, s, "Amazon EKS "+c.Shown.Name)
		if made != nil {
			return made
		}
		i.Requester, i.Managed, i.Status, i.Of, i.Groups = "AROA"+strings.ToUpper(c.Real[:8]), true, "in-use", c.Key(), []groupName{{g.ID, g.Name}}
		i.Attachment = &interfaceAttachment{ID: newID("ela-attach"), Owner: "amazon-aws", Index: 1, Status: "attached", At: x.At}
		i.Tags = tags{{"cluster.k8s.amazonaws.com/name", c.Shown.Name}}
		err = errors.Join(err, put(tx, kindInterface, i))
	}
	return err
}

func putCluster(tx *world.Tx, c cluster) error {
	return tx.Put(ref(kindCluster, c.Key()), world.Meta{Name: c.Shown.Name, Parent: c.Region}, c)
}

// deleteCluster begins a cluster's end. It must have no node groups; what else it has goes with it.
func deleteCluster(x *exchange) (any, error) {
	var c cluster
	err := x.commit(func(tx *world.Tx) (err error) {
		if c, err = x.cluster(tx); err != nil {
			return err
		}
		groups, err := within[nodegroup](tx, kindNodegroup, c.Key(), nil)
		switch {
		case err != nil:
			return err
		case len(groups) > 0:
			return with(refuseAs(409, "ResourceInUseException", "Cluster has nodegroups attached"), "clusterName", c.Shown.Name)
		case c.Shown.Status == statusDeleting:
			return with(refuseAs(409, "ResourceInUseException", "Cluster %s is currently being deleted", c.Shown.Name), "clusterName", c.Shown.Name)
		case c.Shown.Status == statusUpdating:
			return with(refuseAs(409, "ResourceInUseException", "Cannot delete because cluster %s currently has an update in progress", c.Shown.Name), "clusterName", c.Shown.Name)
		}
		if c.Transition, err = x.BeginEnd(tx, c.Real+"/end", clusterDeletion); err != nil {
			return err
		}
		c.Shown.Status = statusDeleting
		return putCluster(tx, c)
	})
	return map[string]any{"cluster": c.Shown}, err
}

// changing loads the cluster of the path to change it, which it must be free for.
func (x *exchange) changing(tx *world.Tx) (cluster, error) {
	c, err := x.cluster(tx)
	if err == nil && c.Shown.Status != statusActive {
		err = with(refuseAs(409, "ResourceInUseException", "Cannot update because cluster %s currently is %s", c.Shown.Name, c.Shown.Status), "clusterName", c.Shown.Name)
	}
	return c, err
}

func updateClusterConfig(x *exchange) (any, error) {
	var asked struct {
		VPC     *vpcConfig     `json:"resourcesVpcConfig"`
		Logging *logging       `json:"logging"`
		Upgrade *upgradePolicy `json:"upgradePolicy"`
		Token   string         `json:"clientRequestToken"`
	}
	if err := x.decode(&asked); err != nil {
		return nil, err
	}
	if asked.VPC == nil || asked.Logging != nil || asked.Upgrade != nil {
		return nil, invalid("The sandbox changes resourcesVpcConfig of a cluster, and nothing else")
	}
	var u update
	err := x.commit(func(tx *world.Tx) error {
		c, err := x.changing(tx)
		if err != nil {
			return err
		}
		to := asked.VPC.vpcAccess
		if to.Public == nil {
			to.Public = c.Shown.VPC.Public
		}
		if to.Private == nil {
			to.Private = c.Shown.VPC.Private
		}
		if err := to.complete(); err != nil {
			return err
		}
		if slices.Equal(to.PublicCIDRs, c.Shown.VPC.PublicCIDRs) && *to.Public == *c.Shown.VPC.Public && *to.Private == *c.Shown.VPC.Private {
			return invalid("Cluster is already at the desired configuration with endpointPrivateAccess: %t , endpointPublicAccess: %t, and Public Endpoint Restrictions: [%s]",
				*to.Private, *to.Public, strings.Join(to.PublicCIDRs, ", "))
		}
		u = x.newUpdate("EndpointAccessUpdate", parameter{"EndpointPublicAccess", flag(*to.Public)}, parameter{"EndpointPrivateAccess", flag(*to.Private)},
			parameter{"PublicAccessCidrs", `["` + strings.Join(to.PublicCIDRs, `","`) + `"]`})
		c.Access = &to
		return x.beginUpdate(tx, c, u)
	})
	return map[string]any{"update": u}, err
}

// beginUpdate puts a cluster into an update.
func (x *exchange) beginUpdate(tx *world.Tx, c cluster, u update) error {
	takes := clusterUpdate
	if c.Target != "" {
		takes = clusterUpgrade
	}
	t, err := x.begin(tx, c.Real+u.ID, takes)
	c.Transition, c.Update, c.Shown.Status = t, u.ID, statusUpdating
	return errors.Join(err, putCluster(tx, c), putUpdate(tx, keptUpdate{Update: u, Cluster: c.Key()}),
		x.record(tx, world.Updated, kindCluster, c.Shown.ARN, c.Shown.Name, tagsOf(c.Shown.Tags)))
}

func updateClusterVersion(x *exchange) (any, error) {
	var asked struct {
		Version string `json:"version"`
		Token   string `json:"clientRequestToken"`
	}
	if err := x.decode(&asked); err != nil {
		return nil, err
	}
	var u update
	err := x.commit(func(tx *world.Tx) error {
		c, err := x.changing(tx)
		if err != nil {
			return err
		}
		if !slices.Contains(x.cloud.Versions, asked.Version) || minorNumber(asked.Version) != minorNumber(c.Shown.Version)+1 {
			return invalid("Unsupported Kubernetes minor version update from %s to %.20s", c.Shown.Version, asked.Version)
		}
		u = x.newUpdate("VersionUpdate", parameter{"Version", asked.Version}, parameter{"PlatformVersion", "eks.1"})
		c.Target = asked.Version
		return x.beginUpdate(tx, c, u)
	})
	return map[string]any{"update": u}, err
}

func minorNumber(version string) int {
	var major, minor int
	_, _ = fmt.Sscanf(version, "%d.%d", &major, &minor) // what is no version is number 0
	return minor
}

// freePlace finds where the runner can keep one more cluster.
func (c *Cloud) freePlace(tx *world.Tx) (string, error) {
	places := c.Runner.Places()
	place, found, err := fleet.FreePlace(tx, places)
	if err == nil && !found {
		err = refuse("ResourceLimitExceededException", "The sandbox has room for %d clusters, and that many exist.", len(places))
	}
	return place, err
}

// authorityOf is the certificate authority of a real cluster, as EKS shows it.
func authorityOf(access clusters.Access) authority {
	return authority{Data: base64.StdEncoding.EncodeToString(access.CA)}
}
