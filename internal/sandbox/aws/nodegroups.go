package aws

import (
	"errors"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/sandbox/world"
)

var nodegroupOperations = []operation{
	{name: "CreateNodegroup", route: "POST " + onNodegroups, handle: createNodegroup},
	{name: "ListNodegroups", route: "GET " + onNodegroups, handle: listNodegroups},
	{name: "DescribeNodegroup", route: "GET " + onNodegroup, handle: describeNodegroup},
	{name: "UpdateNodegroupConfig", route: "POST " + onNodegroup + "/update-config", handle: updateNodegroupConfig},
	{name: "UpdateNodegroupVersion", route: "POST " + onNodegroup + "/update-version", handle: updateNodegroupVersion},
	{name: "DeleteNodegroup", route: "DELETE " + onNodegroup, handle: deleteNodegroup},
}

// nodegroup is a managed node group as it is kept.
type nodegroup struct {
	Shown      shownNodegroup
	Region     string
	Cluster    string // its key
	Token      string
	Transition world.Transition
	// Update is the id of the update under way, Target what it changes the version to, if that.
	Update string
	Target string
	// Template has what its machines are made by.
	Template template
	// Short says why fewer machines could be had than were asked for.
	Short string
}

// Key is what the node group is kept by.
func (n nodegroup) Key() string { return n.Cluster + "/" + n.Shown.Name }

// title is what it is called in the ledger: names repeat between clusters.
func (n nodegroup) title() string { return n.Shown.Cluster + "/" + n.Shown.Name }

// shownNodegroup is a node group as EKS shows it.
type shownNodegroup struct {
	Name       string             `json:"nodegroupName"`
	ARN        string             `json:"nodegroupArn"`
	Cluster    string             `json:"clusterName"`
	Version    string             `json:"version"`
	Release    string             `json:"releaseVersion"`
	CreatedAt  stamp              `json:"createdAt"`
	ModifiedAt stamp              `json:"modifiedAt"`
	Status     string             `json:"status"`
	Capacity   string             `json:"capacityType"`
	Scaling    scaling            `json:"scalingConfig"`
	Types      []string           `json:"instanceTypes"`
	Subnets    []string           `json:"subnets"`
	AMI        string             `json:"amiType"`
	Role       string             `json:"nodeRole"`
	Labels     map[string]string  `json:"labels"`
	Taints     []struct{}         `json:"taints,omitempty"`
	Resources  nodegroupResources `json:"resources"`
	Disk       *int               `json:"diskSize,omitempty"`
	Health     health             `json:"health"`
	Update     updateConfig       `json:"updateConfig"`
	Template   *templateRef       `json:"launchTemplate,omitempty"`
	Tags       map[string]string  `json:"tags"`
}

type scaling struct {
	Min     *int `json:"minSize"`
	Max     *int `json:"maxSize"`
	Desired *int `json:"desiredSize"`
}

type nodegroupResources struct {
	Groups []scalingGroup `json:"autoScalingGroups"`
}

type scalingGroup struct {
	Name string `json:"name"`
}

type updateConfig struct {
	Unavailable *int `json:"maxUnavailable,omitempty"`
	Percentage  *int `json:"maxUnavailablePercentage,omitempty"`
}

type templateRef struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	ID      string `json:"id"`
}

type nodegroupRequest struct {
	Name     string            `json:"nodegroupName"`
	Scaling  scaling           `json:"scalingConfig"`
	Disk     *int              `json:"diskSize"`
	Subnets  []string          `json:"subnets"`
	Types    []string          `json:"instanceTypes"`
	AMI      string            `json:"amiType"`
	Role     string            `json:"nodeRole"`
	Labels   map[string]string `json:"labels"`
	Tags     map[string]string `json:"tags"`
	Token    string            `json:"clientRequestToken"`
	Template *templateRef      `json:"launchTemplate"`
	Update   updateConfig      `json:"updateConfig"`
	Capacity string            `json:"capacityType"`
	Version  string            `json:"version"`
}

var nodegroupName = regexp.MustCompile(`^[0-9A-Za-z][A-Za-z0-9\-_]{0,62}$`)

// amiTypes are those that the sandbox knows, with the architecture of each.
var amiTypes = map[string]string{"AL2023_x86_64_STANDARD": "x86_64", "AL2023_ARM_64_STANDARD": "arm64", "BOTTLEROCKET_x86_64": "x86_64", "BOTTLEROCKET_ARM_64": "arm64"}

// check says what is wrong with a request by itself, and fills in what it leaves out.
func (r *nodegroupRequest) check() error {
	if !nodegroupName.MatchString(r.Name) {
		return invalid("The nodegroup name %.70q must match %s", r.Name, nodegroupName)
	}
	if err := r.Scaling.complete(); err != nil {
		return err
	}
	if len(r.Types) == 0 {
		r.Types = []string{"t3.medium"}
	}
	first, known := findType(r.Types[0])
	if !known || len(r.Types) > 1 {
		return invalid("The following supplied instance types do not exist: [%.60s] (the sandbox takes one type)", strings.Join(r.Types, ", "))
	}
	if r.AMI == "" {
		r.AMI = map[string]string{"x86_64": "AL2023_x86_64_STANDARD", "arm64": "AL2023_ARM_64_STANDARD"}[first.architecture]
	}
	if amiTypes[r.AMI] != first.architecture {
		return invalid("%s is not a valid instance type for requested amiType %.40s", first.name, r.AMI)
	}
	if r.Capacity == "" {
		r.Capacity = "ON_DEMAND"
	}
	if r.Capacity != "ON_DEMAND" {
		return invalid("The sandbox's nodes have the capacityType ON_DEMAND, not %.20q", r.Capacity)
	}
	if r.Template != nil && r.Disk != nil {
		return invalid("Disk size must be specified within the launch template.")
	}
	return checkEKSTags(r.Tags)
}

// complete fills in what a request leaves out, and refuses what cannot be.
func (s *scaling) complete() error {
	set := func(to **int, value int) {
		if *to == nil {
			*to = &value
		}
	}
	set(&s.Desired, 2)
	set(&s.Min, min(1, *s.Desired))
	set(&s.Max, max(2, *s.Desired))
	switch {
	case *s.Min < 0 || *s.Max < 1 || *s.Max > maxNodes:
		return invalid("The sizes of a nodegroup are between 0 and %d", maxNodes)
	case *s.Desired < *s.Min:
		return invalid("Minimum capacity %d can't be greater than desired size %d", *s.Min, *s.Desired)
	case *s.Desired > *s.Max:
		return invalid("desired capacity %d can't be greater than max size %d", *s.Desired, *s.Max)
	}
	return nil
}

func putNodegroup(tx *world.Tx, n nodegroup) error {
	return tx.Put(ref(kindNodegroup, n.Key()), world.Meta{Name: n.Shown.Name, Parent: n.Cluster}, n)
}

// nodegroup loads the node group of the path.
func (x *exchange) nodegroup(tx *world.Tx) (cluster, nodegroup, error) {
	c, err := x.cluster(tx)
	if err != nil {
		return c, nodegroup{}, err
	}
	name := x.Request.PathValue("nodegroupName")
	n, err := world.Get[nodegroup](tx, ref(kindNodegroup, c.Key()+"/"+name))
	if isNotFound(err) {
		err = with(with(refuseAs(404, "ResourceNotFoundException", "No node group found for name: %.70s.", name), "clusterName", c.Shown.Name), "nodegroupName", name)
	}
	return c, n, err
}

func listNodegroups(x *exchange) (any, error) {
	var names []string
	err := x.view(func(tx *world.Tx) error {
		c, err := x.cluster(tx)
		if err != nil {
			return err
		}
		list, err := within[nodegroup](tx, kindNodegroup, c.Key(), nil)
		for _, n := range list {
			names = append(names, n.Shown.Name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return x.pageOf("nodegroups", names)
}

func describeNodegroup(x *exchange) (any, error) {
	var n nodegroup
	err := x.view(func(tx *world.Tx) (err error) {
		_, n, err = x.nodegroup(tx)
		return err
	})
	return map[string]any{"nodegroup": n.Shown}, err
}

func createNodegroup(x *exchange) (any, error) {
	var asked nodegroupRequest
	if err := x.decode(&asked); err != nil {
		return nil, err
	}
	if err := asked.check(); err != nil {
		return nil, err
	}
	var n nodegroup
	err := x.commit(func(tx *world.Tx) error {
		c, err := x.activeCluster(tx)
		if err != nil {
			return err
		}
		n, err = world.Get[nodegroup](tx, ref(kindNodegroup, c.Key()+"/"+asked.Name))
		switch {
		case err == nil && asked.Token != "" && n.Token == asked.Token && n.Shown.Status != statusDeleting:
			return nil
		case err == nil:
			return with(refuseAs(409, "ResourceInUseException", "NodeGroup already exists with name %s and cluster name %s", asked.Name, c.Shown.Name), "clusterName", c.Shown.Name)
		case !isNotFound(err):
			return err
		}
		n, err = x.newNodegroup(tx, c, asked)
		return err
	})
	return map[string]any{"nodegroup": n.Shown}, err
}

func (x *exchange) newNodegroup(tx *world.Tx, c cluster, asked nodegroupRequest) (nodegroup, error) {
	if asked.Version != "" && asked.Version != c.Shown.Version {
		return nodegroup{}, invalid("Requested Nodegroup version %.20s is not the cluster's %s", asked.Version, c.Shown.Version)
	}
	if err := x.checkNodeRole(tx, asked.Role); err != nil {
		return nodegroup{}, err
	}
	for _, id := range asked.Subnets {
		s, err := world.Get[subnet](tx, ref(kindSubnet, id))
		if isNotFound(err) || err == nil && s.VPC != c.Shown.VPC.ID {
			err = invalid("The subnet ID '%.40s' does not exist in the VPC %s of the cluster", id, c.Shown.VPC.ID)
		}
		if err != nil {
			return nodegroup{}, err
		}
	}
	if len(asked.Subnets) == 0 {
		return nodegroup{}, invalid("Subnets are required")
	}
	groups, err := within[nodegroup](tx, kindNodegroup, c.Key(), nil)
	if err != nil {
		return nodegroup{}, err
	}
	if len(groups) >= maxNodegroups {
		return nodegroup{}, x.overQuota()
	}
	n := nodegroup{Region: x.region, Cluster: c.Key(), Token: asked.Token}
	if asked.Template != nil {
		if n.Template, err = findTemplate(tx, x.region, asked.Template.ID, asked.Template.Name, asked.Template.Version); err != nil {
			return n, err
		}
		asked.Template = &templateRef{Name: n.Template.Name, ID: n.Template.ID, Version: "1"}
	}
	id := newUUID()
	one := 1
	n.Shown = shownNodegroup{Name: asked.Name, ARN: x.arn("eks", "nodegroup/"+c.Shown.Name+"/"+asked.Name+"/"+id), Cluster: c.Shown.Name, Version: c.Shown.Version,
		Release: releaseOf(c.Shown.Version), CreatedAt: stamp{x.At}, ModifiedAt: stamp{x.At}, Status: statusCreating, Capacity: asked.Capacity, Scaling: asked.Scaling, Types: asked.Types,
		Subnets: asked.Subnets, AMI: asked.AMI, Role: asked.Role, Labels: asked.Labels, Disk: asked.Disk, Health: healthy, Update: asked.Update, Template: asked.Template, Tags: asked.Tags,
		Resources: nodegroupResources{Groups: []scalingGroup{{Name: "eks-" + asked.Name + "-" + id}}}}
	if n.Shown.Update.Unavailable == nil && n.Shown.Update.Percentage == nil {
		n.Shown.Update.Unavailable = &one
	}
	if n.Shown.Labels == nil {
		n.Shown.Labels = map[string]string{}
	}
	if n.Shown.Tags == nil {
		n.Shown.Tags = map[string]string{}
	}
	if n.Transition, err = x.Begin(tx, id, nodegroupCreation, "Instances failed to join the kubernetes cluster"); err != nil {
		return n, err
	}
	if err := x.fill(tx, c, &n, n.Transition); err != nil {
		return n, err
	}
	effect := x.Effect(world.Created, kindNodegroup, n.Shown.ARN, n.title())
	effect.Tags, effect.State, effect.Parent = tagsOf(n.Shown.Tags).texts(), n.Shown.Status, c.Shown.ARN
	return n, errors.Join(putNodegroup(tx, n), tx.Record(effect))
}

// checkNodeRole refuses a role that machines cannot have.
func (x *exchange) checkNodeRole(tx *world.Tx, arn string) error {
	r, err := roleByARN(tx, arn)
	if err != nil && !isNotFound(err) {
		return err
	}
	if err != nil || x.At.Before(r.Seen) {
		return invalid("The role with name %.70s cannot be found. (Service: Iam, Status Code: 404)", arn[strings.LastIndex(arn, "/")+1:])
	}
	if !r.trusts("ec2.amazonaws.com", x.At) {
		return invalid("Following required service principals [ec2.amazonaws.com] were not found in the trust relationships of nodeRole %s", arn)
	}
	return nil
}

// releaseOf is the release of the machine image for a version.
func releaseOf(version string) string { return version + ".0-20261101" }

// fill makes the node group have as many machines as it is to have: it starts those that are missing, as far as the account's quota
// lets it, and ends the newest of those that are too many.
func (x *exchange) fill(tx *world.Tx, c cluster, n *nodegroup, t world.Transition) error {
	have, err := within(tx, kindInstance, c.Shown.VPC.ID, func(i instance) bool { return i.Nodegroup == n.Key() && i.lives() })
	if err != nil {
		return err
	}
	n.Short = ""
	for len(have) > *n.Shown.Scaling.Desired {
		last := have[len(have)-1]
		have = have[:len(have)-1]
		if err := x.cloud.stop(tx, last, t); err != nil {
			return err
		}
	}
	for len(have) < *n.Shown.Scaling.Desired {
		i, err := x.launch(tx, c, *n, len(have), t)
		var r *refusal
		if errors.As(err, &r) {
			n.Short = r.message
			return nil
		}
		if err != nil {
			return err
		}
		have = append(have, i)
	}
	return nil
}

// launch starts one machine, in the next of the subnets.
func (x *exchange) launch(tx *world.Tx, c cluster, n nodegroup, index int, t world.Transition) (instance, error) {
	of, _ := findType(n.Shown.Types[0])
	used, err := vcpusIn(tx, x.region)
	if err != nil {
		return instance{}, err
	}
	if used+of.cpus > x.cloud.VCPULimit {
		return instance{}, refuse("VcpuLimitExceeded", "You have requested more vCPU capacity than your current vCPU limit of %d allows for the instance bucket that the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.", x.cloud.VCPULimit)
	}
	s, err := world.Get[subnet](tx, ref(kindSubnet, n.Shown.Subnets[index%len(n.Shown.Subnets)]))
	if isNotFound(err) {
		err = invalid("The subnet ID '%s' does not exist", n.Shown.Subnets[index%len(n.Shown.Subnets)])
	}
	if err != nil {
		return instance{}, err
	}
	id := newID("i")
	ours, err := x.newInterface(tx, s, "")
	if err != nil {
		return instance{}, err
	}
	group, err := world.Get[group](tx, ref(kindGroup, c.Shown.VPC.ClusterGroup))
	if err != nil {
		return instance{}, err
	}
	i := newInstance(id, of, s, ours, c, n, t)
	i.Groups = []groupName{{group.ID, group.Name}}
	ours.Groups, ours.Status, ours.Of, ours.Tags = i.Groups, "in-use", id, n.Template.Spread[kindInterface]
	ours.Attachment = &interfaceAttachment{ID: newID("eni-attach"), Instance: id, Owner: x.cloud.Account, Status: "attached", At: x.At, Ends: true}
	effect := i.effect(world.Created, pending.Name, t, x.At)
	effect.ReadyAt = nil
	return i, errors.Join(put(tx, kindInterface, ours), put(tx, kindInstance, i), tx.Record(effect))
}

func newInstance(id string, of instanceType, s subnet, ours netInterface, c cluster, n nodegroup, t world.Transition) instance {
	cores := max(1, of.cpus/2)
	if of.architecture == "arm64" {
		cores = of.cpus
	}
	marks := slices.Clone(n.Template.Spread[kindInstance])
	group := n.Shown.Resources.Groups[0].Name
	for _, t := range []tag{{"eks:cluster-name", c.Shown.Name}, {"eks:nodegroup-name", n.Shown.Name}, {"aws:eks:cluster-name", c.Shown.Name}, {"kubernetes.io/cluster/" + c.Shown.Name, "owned"},
		{"k8s.io/cluster-autoscaler/enabled", "true"}, {"k8s.io/cluster-autoscaler/" + c.Shown.Name, "owned"}, {"aws:autoscaling:groupName", group}} {
		marks = append(marks.without(t.Key), t)
	}
	return instance{ID: id, Image: "ami-" + hexHash([]byte(n.Shown.AMI + n.Shown.Release))[:17], Type: of.name, State: pending, Hostname: ours.Hostname, Address: ours.Address, Subnet: s.ID,
		VPC: s.VPC, Region: s.Region, Launched: t.RequestedAt, Placement: placement{s.Zone, "default"}, Architecture: of.architecture, Root: "ebs", RootName: "/dev/xvda", Virtual: "hvm",
		Hypervisor: "xen", Optimized: true, Enhanced: true, Check: true, CPUs: cpuOptions{cores, of.cpus / cores}, Metadata: n.Template.Metadata, Tags: marks,
		Cluster: c.Key(), Nodegroup: n.Key(), Transition: t}
}

// stop ends a machine. One on its own or with its node group takes as long as draining it does.
func (c *Cloud) stop(tx *world.Tx, i instance, t world.Transition) error {
	i.State, i.Reason = shuttingDown, "User initiated"
	i.Transition = t
	return errors.Join(put(tx, kindInstance, i), start(tx, kindInstance, i.ID, "terminated", t))
}

// vcpusIn counts the vCPUs of a region's machines.
func vcpusIn(tx *world.Tx, region string) (int, error) {
	list, err := all(tx, kindInstance, func(i instance) bool { return i.Region == region && i.lives() })
	used := 0
	for _, i := range list {
		of, _ := findType(i.Type)
		used += of.cpus
	}
	return used, err
}

// busy refuses changes of a node group that is not free for them.
func (n nodegroup) busy() error {
	if n.Shown.Status == statusActive || n.Shown.Status == statusDegraded {
		return nil
	}
	return with(refuseAs(409, "ResourceInUseException", "Nodegroup cannot be updated as it is currently not in Active State"), "nodegroupName", n.Shown.Name)
}

func updateNodegroupConfig(x *exchange) (any, error) {
	var asked struct {
		Scaling *scaling      `json:"scalingConfig"`
		Labels  *labelChanges `json:"labels"`
		Update  *updateConfig `json:"updateConfig"`
		Token   string        `json:"clientRequestToken"`
	}
	if err := x.decode(&asked); err != nil {
		return nil, err
	}
	var u update
	err := x.commit(func(tx *world.Tx) error {
		c, n, err := x.nodegroup(tx)
		if err == nil {
			err = n.busy()
		}
		if err != nil {
			return err
		}
		u = x.newUpdate("ConfigUpdate")
		if asked.Scaling != nil {
			if err := n.rescale(*asked.Scaling); err != nil {
				return err
			}
			u.Params = append(u.Params, parameter{"MinSize", number(*n.Shown.Scaling.Min)}, parameter{"MaxSize", number(*n.Shown.Scaling.Max)}, parameter{"DesiredSize", number(*n.Shown.Scaling.Desired)})
		}
		if asked.Labels != nil {
			asked.Labels.apply(n.Shown.Labels)
		}
		if asked.Update != nil {
			n.Shown.Update = *asked.Update
		}
		t, err := x.Begin(tx, n.Shown.ARN+u.ID, nodegroupUpdate, "Instances failed to join the kubernetes cluster")
		if err != nil {
			return err
		}
		n.Transition, n.Update, n.Shown.Status, n.Shown.ModifiedAt = t, u.ID, statusUpdating, stamp{x.At}
		if err := x.fill(tx, c, &n, t); err != nil {
			return err
		}
		return errors.Join(putNodegroup(tx, n), putUpdate(tx, keptUpdate{Update: u, Cluster: c.Key(), About: n.Shown.Name}),
			x.record(tx, world.Updated, kindNodegroup, n.Shown.ARN, n.title(), tagsOf(n.Shown.Tags)))
	})
	return map[string]any{"update": u}, err
}

// rescale changes those sizes that are given.
func (n *nodegroup) rescale(asked scaling) error {
	s := n.Shown.Scaling
	for _, one := range []struct{ to, from **int }{{&s.Min, &asked.Min}, {&s.Max, &asked.Max}, {&s.Desired, &asked.Desired}} {
		if *one.from != nil {
			*one.to = *one.from
		}
	}
	n.Shown.Scaling = s
	return n.Shown.Scaling.complete()
}

type labelChanges struct {
	Set    map[string]string `json:"addOrUpdateLabels"`
	Remove []string          `json:"removeLabels"`
}

func (l labelChanges) apply(labels map[string]string) {
	maps.Copy(labels, l.Set)
	for _, key := range l.Remove {
		delete(labels, key)
	}
}

// updateNodegroupVersion brings the machines to the cluster's version.
func updateNodegroupVersion(x *exchange) (any, error) {
	var asked struct {
		Version string `json:"version"`
		Release string `json:"releaseVersion"`
		Force   bool   `json:"force"`
		Token   string `json:"clientRequestToken"`
	}
	if err := x.decode(&asked); err != nil {
		return nil, err
	}
	var u update
	err := x.commit(func(tx *world.Tx) error {
		c, n, err := x.nodegroup(tx)
		if err == nil {
			err = n.busy()
		}
		if err != nil {
			return err
		}
		if asked.Version == "" {
			asked.Version = c.Shown.Version
		}
		if asked.Version != c.Shown.Version {
			return invalid("Nodegroup version %.20s is not the cluster's %s", asked.Version, c.Shown.Version)
		}
		u = x.newUpdate("VersionUpdate", parameter{"Version", asked.Version}, parameter{"ReleaseVersion", releaseOf(asked.Version)})
		t, err := x.Begin(tx, n.Shown.ARN+u.ID, nodegroupUpgrade, "Instances failed to join the kubernetes cluster")
		n.Transition, n.Update, n.Target, n.Shown.Status, n.Shown.ModifiedAt = t, u.ID, asked.Version, statusUpdating, stamp{x.At}
		return errors.Join(err, putNodegroup(tx, n), putUpdate(tx, keptUpdate{Update: u, Cluster: c.Key(), About: n.Shown.Name}),
			x.record(tx, world.Updated, kindNodegroup, n.Shown.ARN, n.title(), tagsOf(n.Shown.Tags)))
	})
	return map[string]any{"update": u}, err
}

func deleteNodegroup(x *exchange) (any, error) {
	var n nodegroup
	err := x.commit(func(tx *world.Tx) (err error) {
		var c cluster
		if c, n, err = x.nodegroup(tx); err != nil {
			return err
		}
		if n.Shown.Status == statusDeleting {
			return nil
		}
		if n.Transition, err = x.BeginEnd(tx, n.Shown.ARN+"/end", nodegroupDeletion); err != nil {
			return err
		}
		n.Shown.Status = statusDeleting
		list, err := within(tx, kindInstance, c.Shown.VPC.ID, func(i instance) bool { return i.Nodegroup == n.Key() && i.lives() })
		for _, i := range list {
			err = errors.Join(err, x.cloud.stop(tx, i, n.Transition))
		}
		return errors.Join(err, putNodegroup(tx, n))
	})
	return map[string]any{"nodegroup": n.Shown}, err
}

// wayOut says whether a subnet's machines reach the world: without, they fetch no images and do not join.
func wayOut(tx *world.Tx, s subnet) (bool, error) {
	tables, err := within[routeTable](tx, kindRouteTable, s.VPC, nil)
	if err != nil {
		return false, err
	}
	var main, own *routeTable
	for i := range tables {
		for _, a := range tables[i].Associations {
			if a.Main {
				main = &tables[i]
			}
			if a.Subnet == s.ID {
				own = &tables[i]
			}
		}
	}
	if own == nil {
		own = main
	}
	for _, r := range own.Routes {
		if prefix, err := netip.ParsePrefix(r.CIDR); err != nil || prefix.Bits() != 0 {
			continue
		}
		if r.NAT == "" {
			return s.MapPublic, nil // a private address alone does not pass an internet gateway
		}
		n, err := world.Get[nat](tx, ref(kindNAT, r.NAT))
		return err == nil && n.State == "available", ignoreMissing(err)
	}
	return false, nil
}
