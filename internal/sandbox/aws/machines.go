package aws

import (
	"errors"
	"slices"
	"time"

	"github.com/m3o/platform/internal/sandbox/aws/wire"
	"github.com/m3o/platform/internal/sandbox/world"
)

var machineOperations = []operation{
	{name: "DescribeInstances", takes: "InstanceId" + paged, handle: describeInstances},
	{name: "CreateVolume", takes: "AvailabilityZone Size VolumeType Encrypted ClientToken TagSpecification", handle: createVolume},
	{name: "DescribeVolumes", takes: "VolumeId" + paged, handle: describeVolumes},
	{name: "DeleteVolume", takes: "VolumeId", handle: deleteVolume},
	{name: "CreateSnapshot", takes: "VolumeId Description TagSpecification", handle: createSnapshot},
	{name: "DescribeSnapshots", takes: "SnapshotId Owner" + paged, handle: describeSnapshots},
	{name: "DeleteSnapshot", takes: "SnapshotId", handle: deleteSnapshot},
	{name: "CreateLaunchTemplate", takes: "LaunchTemplateName VersionDescription LaunchTemplateData ClientToken TagSpecification", handle: createTemplate},
	{name: "DescribeLaunchTemplates", takes: "LaunchTemplateId LaunchTemplateName" + paged, handle: describeTemplates},
	{name: "DeleteLaunchTemplate", takes: "LaunchTemplateId LaunchTemplateName", handle: deleteTemplate},
}

// instance is a virtual machine, as it is kept and as it is shown. All there are belong to node groups.
type instance struct {
	ID           string        `xml:"instanceId"`
	Image        string        `xml:"imageId"`
	Type         string        `xml:"instanceType"`
	State        instanceState `xml:"instanceState"`
	Reason       string        `xml:"reason"`
	Hostname     string        `xml:"privateDnsName"`
	Public       string        `xml:"dnsName"`
	Address      string        `xml:"privateIpAddress"`
	Subnet       string        `xml:"subnetId"`
	VPC          string        `xml:"vpcId"`
	Region       string        `xml:"-"`
	Launched     time.Time     `xml:"launchTime"`
	Placement    placement     `xml:"placement"`
	Architecture string        `xml:"architecture"`
	Root         string        `xml:"rootDeviceType"`
	RootName     string        `xml:"rootDeviceName"`
	Virtual      string        `xml:"virtualizationType"`
	Hypervisor   string        `xml:"hypervisor"`
	Optimized    bool          `xml:"ebsOptimized"`
	Enhanced     bool          `xml:"enaSupport"`
	Check        bool          `xml:"sourceDestCheck"`
	CPUs         cpuOptions    `xml:"cpuOptions"`
	Metadata     metadata      `xml:"metadataOptions"`
	Groups       []groupName   `xml:"groupSet>item"`
	Tags         tags          `xml:"tagSet>item"`
	// Cluster is the ARN of the cluster that it is a node of, Nodegroup the node group's.
	Cluster   string `xml:"-"`
	Nodegroup string `xml:"-"`
	// Transition is how it came, or goes.
	Transition world.Transition `xml:"-"`
}

type instanceState struct {
	Code int    `xml:"code"`
	Name string `xml:"name"`
}

type placement struct {
	Zone    string `xml:"availabilityZone"`
	Tenancy string `xml:"tenancy"`
}

type cpuOptions struct {
	Cores   int `xml:"coreCount"`
	Threads int `xml:"threadsPerCore"`
}

type metadata struct {
	State    string `xml:"state"`
	Tokens   string `xml:"httpTokens"`
	Hops     int    `xml:"httpPutResponseHopLimit"`
	Endpoint string `xml:"httpEndpoint"`
}

// The states of instances.
var (
	pending      = instanceState{0, "pending"}
	running      = instanceState{16, "running"}
	shuttingDown = instanceState{32, "shutting-down"}
	terminated   = instanceState{48, "terminated"}
)

// lives says that it is on its way or there, and not on its way out.
func (i instance) lives() bool { return i.State == pending || i.State == running }

func (i instance) ident() string { return i.ID }
func (i instance) home() string  { return i.VPC }
func (i instance) place() string { return i.Region }
func (i instance) marks() tags   { return i.Tags }
func (i instance) attribute(name string) ([]string, bool) {
	switch name {
	case "instance-id":
		return filled(i.ID), true
	case "vpc-id":
		return filled(i.VPC), true
	case "subnet-id":
		return filled(i.Subnet), true
	case "instance-state-name":
		return filled(i.State.Name), true
	case "instance-state-code":
		return []string{number(i.State.Code)}, true
	case "instance-type":
		return filled(i.Type), true
	case "private-dns-name":
		return filled(i.Hostname), true
	case "private-ip-address":
		return filled(i.Address), true
	case "availability-zone":
		return filled(i.Placement.Zone), true
	case "instance.group-id":
		var ids []string
		for _, g := range i.Groups {
			ids = append(ids, g.ID)
		}
		return ids, true
	}
	return nil, false
}

func describeInstances(x *exchange) (any, error) {
	var list []instance
	err := x.view(func(tx *world.Tx) (err error) {
		list, err = gather[instance](x, tx, kindInstance, "InstanceId")
		return err
	})
	if err != nil {
		return nil, err
	}
	page, next, err := paginate(x, list, x.in.Has("InstanceId"))
	reservations := make([]wire.Fields, 0, len(page))
	for _, i := range page {
		reservations = append(reservations, wire.Fields{"reservationId": "r-" + i.ID[len("i-"):], "ownerId": x.cloud.Account,
			"requesterId": autoScaling, "groupSet>item": []string{}, "instancesSet>item": []instance{i}})
	}
	return wire.Fields{"reservationSet>item": reservations, "nextToken": next}, err
}

// autoScaling is the account of the service that starts instances for node groups.
const autoScaling = "943719612348"

// finishInstance ends an instance, and later forgets it.
func finishInstance(tx *world.Tx, u underway, now time.Time) error {
	i, err := world.Get[instance](tx, ref(kindInstance, u.ID))
	if err != nil {
		return err
	}
	if u.To == "forgotten" {
		return tx.Delete(ref(kindInstance, i.ID))
	}
	i.State = terminated
	asked := u.Transition.RequestedAt
	memory := world.Transition{RequestedAt: now, Due: u.Transition.Due.Add(max(time.Millisecond, u.Transition.Due.Sub(asked)) * time.Duration(instanceMemory/nodegroupDeletion))}
	return errors.Join(put(tx, kindInstance, i), start(tx, kindInstance, i.ID, "forgotten", memory), unhouse(tx, i.ID, i.VPC),
		tx.Record(i.effect(world.Deleted, "", u.Transition, now)))
}

func (i instance) effect(change, state string, t world.Transition, now time.Time) world.Effect {
	asked := t.RequestedAt
	return world.Effect{Provider: Name, Operation: t.Operation, Kind: change, Resource: kindInstance, ID: i.ID, Name: i.ID, Tags: i.Tags.texts(),
		Key: t.Key, Parent: i.Cluster, State: state, RequestedAt: &asked, ReadyAt: &now}
}

// volume is an EBS volume, as it is kept and as it is shown.
type volume struct {
	ID          string       `xml:"volumeId"`
	Region      string       `xml:"-"`
	Zone        string       `xml:"availabilityZone"`
	Created     time.Time    `xml:"createTime"`
	Encrypted   bool         `xml:"encrypted"`
	Size        int          `xml:"size"`
	State       string       `xml:"status"`
	Type        string       `xml:"volumeType"`
	IOPS        int          `xml:"iops"`
	Throughput  int          `xml:"throughput"`
	Multi       bool         `xml:"multiAttachEnabled"`
	Snapshot    string       `xml:"snapshotId"`
	Attachments []mountPoint `xml:"attachmentSet>item"`
	Tags        tags         `xml:"tagSet>item"`
	// Token is that of the request that made it, Cluster the ARN of the cluster whose claim it is for, if any.
	Token   string `xml:"-"`
	Cluster string `xml:"-"`
}

type mountPoint struct {
	Volume   string    `xml:"volumeId"`
	Instance string    `xml:"instanceId"`
	Device   string    `xml:"device"`
	State    string    `xml:"status"`
	At       time.Time `xml:"attachTime"`
	Ends     bool      `xml:"deleteOnTermination"`
}

func (v volume) ident() string { return v.ID }
func (v volume) home() string  { return v.Region }
func (v volume) place() string { return v.Region }
func (v volume) marks() tags   { return v.Tags }
func (v volume) attribute(name string) ([]string, bool) {
	switch name {
	case "volume-id":
		return filled(v.ID), true
	case "status":
		return filled(v.State), true
	case "availability-zone":
		return filled(v.Zone), true
	case "size":
		return []string{number(v.Size)}, true
	case "volume-type":
		return filled(v.Type), true
	case "encrypted":
		return []string{flag(v.Encrypted)}, true
	case "attachment.instance-id":
		var ids []string
		for _, a := range v.Attachments {
			ids = append(ids, a.Instance)
		}
		return ids, true
	}
	return nil, false
}

func createVolume(x *exchange) (any, error) {
	if err := x.needs("AvailabilityZone", "Size"); err != nil {
		return nil, err
	}
	zone, err := x.zoneOf()
	if err != nil {
		return nil, refuse("InvalidZone.NotFound", "The zone '%.40s' does not exist.", x.in.Text("AvailabilityZone"))
	}
	size, err := x.in.Number("Size", 0)
	if err != nil || size < 1 || size > 16384 {
		return nil, refuse("InvalidParameterValue", "Volume of %.20sGiB is invalid", x.in.Text("Size"))
	}
	if kind := x.in.Text("VolumeType"); kind != "" && kind != "gp3" && kind != "gp2" {
		return nil, refuse("UnknownVolumeType", "Unsupported volume type '%.20s' for volume creation. (The sandbox has gp2 and gp3.)", kind)
	}
	marks, err := x.newTags(kindVolume)
	if err != nil {
		return nil, err
	}
	v := newVolume(x.region, zone, size, x.At, marks)
	v.Token = x.in.Text("ClientToken")
	err = x.commit(func(tx *world.Tx) error {
		same, err := within(tx, kindVolume, x.region, func(o volume) bool { return v.Token != "" && o.Token == v.Token })
		if err != nil {
			return err
		}
		if len(same) > 0 {
			v = same[0]
			return nil
		}
		t, err := x.begin(tx, v.ID, volumeCreation)
		return errors.Join(err, put(tx, kindVolume, v), start(tx, kindVolume, v.ID, "available", t),
			x.record(tx, world.Created, kindVolume, v.ID, marks.name(v.ID), marks))
	})
	return v.fields(), err
}

func newVolume(region, zone string, size int, at time.Time, marks tags) volume {
	return volume{ID: newID("vol"), Region: region, Zone: zone, Created: at, Size: size, State: "creating", Type: "gp3", IOPS: 3000, Throughput: 125,
		Attachments: []mountPoint{}, Tags: marks}
}

// fields is the volume as the answer of its creation has it, without a name around it.
func (v volume) fields() wire.Fields {
	return wire.Fields{"volumeId": v.ID, "availabilityZone": v.Zone, "createTime": v.Created, "encrypted": v.Encrypted, "size": v.Size, "status": v.State,
		"volumeType": v.Type, "iops": v.IOPS, "throughput": v.Throughput, "multiAttachEnabled": v.Multi, "tagSet>item": v.Tags, "attachmentSet>item": v.Attachments}
}

func finishVolume(tx *world.Tx, u underway, _ time.Time) error {
	return change(tx, kindVolume, u.ID, func(v *volume) {
		if v.State == "creating" {
			v.State = u.To
		}
	})
}

func describeVolumes(x *exchange) (any, error) {
	return describe[volume](x, kindVolume, "VolumeId", "volumeSet", nil)
}

func deleteVolume(x *exchange) (any, error) {
	if err := x.needs("VolumeId"); err != nil {
		return nil, err
	}
	err := x.commit(func(tx *world.Tx) error {
		v, err := load[volume](x, tx, kindVolume, x.in.Text("VolumeId"))
		if err != nil {
			return err
		}
		if len(v.Attachments) > 0 {
			return refuse("VolumeInUse", "Volume %s is currently attached to %s", v.ID, v.Attachments[0].Instance)
		}
		return drop(tx, kindVolume, v, x.Effect(world.Deleted, kindVolume, v.ID, ""))
	})
	return wire.Fields{"return": true}, err
}

// snapshot is a snapshot of a volume, as it is kept and as it is shown.
type snapshot struct {
	ID          string    `xml:"snapshotId"`
	Region      string    `xml:"-"`
	Volume      string    `xml:"volumeId"`
	Size        int       `xml:"volumeSize"`
	State       string    `xml:"status"`
	Progress    string    `xml:"progress"`
	Started     time.Time `xml:"startTime"`
	Description string    `xml:"description"`
	Owner       string    `xml:"ownerId"`
	Encrypted   bool      `xml:"encrypted"`
	Tier        string    `xml:"storageTier"`
	Tags        tags      `xml:"tagSet>item"`
}

func (s snapshot) ident() string { return s.ID }
func (s snapshot) home() string  { return s.Region }
func (s snapshot) place() string { return s.Region }
func (s snapshot) marks() tags   { return s.Tags }
func (s snapshot) attribute(name string) ([]string, bool) {
	switch name {
	case "snapshot-id":
		return filled(s.ID), true
	case "status":
		return filled(s.State), true
	case "volume-id":
		return filled(s.Volume), true
	case "owner-id":
		return filled(s.Owner), true
	case "description":
		return filled(s.Description), true
	}
	return nil, false
}

func createSnapshot(x *exchange) (any, error) {
	if err := x.needs("VolumeId"); err != nil {
		return nil, err
	}
	marks, err := x.newTags(kindSnapshot)
	if err != nil {
		return nil, err
	}
	s := snapshot{ID: newID("snap"), Region: x.region, Volume: x.in.Text("VolumeId"), State: "pending", Progress: "0%", Started: x.At,
		Description: x.in.Text("Description"), Owner: x.cloud.Account, Tier: "standard", Tags: marks}
	err = x.commit(func(tx *world.Tx) error {
		v, err := load[volume](x, tx, kindVolume, s.Volume)
		if err != nil {
			return err
		}
		s.Size, s.Encrypted = v.Size, v.Encrypted
		t, err := x.begin(tx, s.ID, snapshotCreation)
		return errors.Join(err, put(tx, kindSnapshot, s), start(tx, kindSnapshot, s.ID, "completed", t),
			x.record(tx, world.Created, kindSnapshot, s.ID, marks.name(s.ID), marks))
	})
	return wire.Fields{"snapshotId": s.ID, "volumeId": s.Volume, "status": s.State, "startTime": s.Started, "progress": "", "ownerId": s.Owner,
		"volumeSize": s.Size, "description": s.Description, "encrypted": s.Encrypted, "tagSet>item": marks}, err
}

func finishSnapshot(tx *world.Tx, u underway, _ time.Time) error {
	return change(tx, kindSnapshot, u.ID, func(s *snapshot) { s.State, s.Progress = u.To, "100%" })
}

// describeSnapshots shows the account's own, whatever is asked for: the sandbox has none of others.
func describeSnapshots(x *exchange) (any, error) {
	if owners := x.in.Texts("Owner"); len(owners) > 0 && !slices.Contains(owners, "self") && !slices.Contains(owners, x.cloud.Account) {
		return wire.Fields{"snapshotSet>item": []snapshot{}}, nil
	}
	return describe[snapshot](x, kindSnapshot, "SnapshotId", "snapshotSet", nil)
}

func deleteSnapshot(x *exchange) (any, error) {
	if err := x.needs("SnapshotId"); err != nil {
		return nil, err
	}
	err := x.commit(func(tx *world.Tx) error {
		s, err := load[snapshot](x, tx, kindSnapshot, x.in.Text("SnapshotId"))
		if err != nil {
			return err
		}
		return drop(tx, kindSnapshot, s, x.Effect(world.Deleted, kindSnapshot, s.ID, ""))
	})
	return wire.Fields{"return": true}, err
}
