package aws

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/m3o/platform/internal/sandbox/aws/wire"
	"github.com/m3o/platform/internal/sandbox/world"
)

// balancingService is Elastic Load Balancing of version 2. Load balancers are made by what runs in clusters, not by callers.
func balancingService() *service {
	return &service{scope: "elasticloadbalancing", prefix: "elasticloadbalancing", words: queryWords,
		protocol: query{forms{"2015-12-01", "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"}},
		operations: []operation{
			{name: "DescribeLoadBalancers", takes: "LoadBalancerArns Names Marker PageSize", handle: describeBalancers},
			{name: "DescribeTargetGroups", takes: "LoadBalancerArn TargetGroupArns Names Marker PageSize", handle: describeTargetGroups},
			{name: "DescribeListeners", takes: "LoadBalancerArn ListenerArns Marker PageSize", handle: describeListeners},
			{name: "DescribeTags", takes: "ResourceArns", handle: describeBalancerTags},
			{name: "DeleteLoadBalancer", takes: "LoadBalancerArn", handle: deleteBalancer},
			{name: "DeleteTargetGroup", takes: "TargetGroupArn", handle: deleteTargetGroup},
		}}
}

// balancer is a network load balancer as it is kept.
type balancer struct {
	ARN     string
	Name    string
	Suffix  string
	Region  string
	VPC     string
	State   string
	Created time.Time
	Subnets []subnet
	Groups  []string
	Tags    tags
	// Cluster is the ARN of the cluster whose Service it is for, UID the Service's.
	Cluster string
	UID     string
	// IP is where this machine reaches it.
	IP    string
	Ports []balancerPort
}

type balancerPort struct {
	Protocol     string
	Entry        int
	Target       int
	TargetGroup  string
	ListenerTail string
}

func (b balancer) ident() string                     { return b.ARN }
func (b balancer) called() string                    { return b.Name }
func (b balancer) home() string                      { return b.Cluster }
func (b balancer) place() string                     { return b.Region }
func (b balancer) marks() tags                       { return b.Tags }
func (b balancer) attribute(string) ([]string, bool) { return nil, false }

// targetGroup is what a listener sends to. It outlives its load balancer.
type targetGroup struct {
	ARN      string
	Name     string
	Region   string
	VPC      string
	Protocol string
	Port     int
	Balancer string
	Cluster  string
	Tags     tags
}

func (t targetGroup) ident() string                     { return t.ARN }
func (t targetGroup) called() string                    { return t.Name }
func (t targetGroup) home() string                      { return t.Cluster }
func (t targetGroup) place() string                     { return t.Region }
func (t targetGroup) marks() tags                       { return t.Tags }
func (t targetGroup) attribute(string) ([]string, bool) { return nil, false }

func (b balancer) wire() wire.Fields {
	zones := []wire.Fields{}
	for _, s := range b.Subnets {
		zones = append(zones, wire.Fields{"ZoneName": s.Zone, "SubnetId": s.ID, "LoadBalancerAddresses>member": []string{}})
	}
	return wire.Fields{"LoadBalancerArn": b.ARN, "LoadBalancerName": b.Name, "DNSName": fmt.Sprintf("%s-%s.elb.%s.amazonaws.com", b.Name, b.Suffix, b.Region),
		"CanonicalHostedZoneId": "Z" + strings.ToUpper(hexHash([]byte(b.Region))[:13]), "CreatedTime": b.Created, "Scheme": "internet-facing", "VpcId": b.VPC,
		"State": wire.Fields{"Code": b.State}, "Type": "network", "AvailabilityZones>member": zones, "SecurityGroups>member": b.Groups, "IpAddressType": "ipv4"}
}

// pageBy cuts a list to a page, as load balancing does.
func pageBy(x *exchange, set string, rows []wire.Fields) (any, error) {
	most, err := x.in.Number("PageSize", 400)
	if err != nil || most < 1 || most > 400 {
		return nil, refuse("ValidationError", "1 validation error detected: Value '%.20s' at 'pageSize' failed to satisfy constraint: Member must be between 1 and 400", x.in.Text("PageSize"))
	}
	from, err := readToken(x.in.Text("Marker"), len(rows))
	if err != nil {
		return nil, refuse("ValidationError", "The marker is not valid")
	}
	to := min(len(rows), from+most)
	answer := wire.Fields{set + ">member": append([]wire.Fields{}, rows[from:to]...)}
	if to < len(rows) {
		answer["NextMarker"] = pageToken(to)
	}
	return answer, nil
}

func describeBalancers(x *exchange) (any, error) {
	arns, names := x.in.Texts("LoadBalancerArns"), x.in.Texts("Names")
	var rows []wire.Fields
	err := x.view(func(tx *world.Tx) error {
		list, err := all(tx, kindBalancer, func(b balancer) bool {
			return b.Region == x.region && (len(arns) == 0 || slices.Contains(arns, b.ARN)) && (len(names) == 0 || slices.Contains(names, b.Name))
		})
		for _, b := range list {
			rows = append(rows, b.wire())
		}
		return err
	})
	if err == nil && len(rows) < len(arns)+len(names) {
		err = refuse("LoadBalancerNotFound", "One or more load balancers not found")
	}
	if err != nil {
		return nil, err
	}
	return pageBy(x, "LoadBalancers", rows)
}

func describeTargetGroups(x *exchange) (any, error) {
	arns, names, of := x.in.Texts("TargetGroupArns"), x.in.Texts("Names"), x.in.Text("LoadBalancerArn")
	var rows []wire.Fields
	err := x.view(func(tx *world.Tx) error {
		list, err := all(tx, kindTargetGroup, func(t targetGroup) bool {
			return t.Region == x.region && (len(arns) == 0 || slices.Contains(arns, t.ARN)) && (len(names) == 0 || slices.Contains(names, t.Name)) && (of == "" || t.Balancer == of)
		})
		if err != nil {
			return err
		}
		for _, t := range list {
			row, err := t.wire(tx)
			if err != nil {
				return err
			}
			rows = append(rows, row)
		}
		return nil
	})
	if err == nil && len(rows) < len(arns)+len(names) {
		err = refuse("TargetGroupNotFound", "One or more target groups not found")
	}
	if err != nil {
		return nil, err
	}
	return pageBy(x, "TargetGroups", rows)
}

func (t targetGroup) wire(tx *world.Tx) (wire.Fields, error) {
	users := []string{}
	name, err := tx.NameOf(ref(kindBalancer, t.Balancer))
	if name != "" {
		users = []string{t.Balancer}
	}
	return wire.Fields{"TargetGroupArn": t.ARN, "TargetGroupName": t.Name, "Protocol": t.Protocol, "Port": t.Port, "VpcId": t.VPC, "HealthCheckProtocol": "TCP",
		"HealthCheckPort": "traffic-port", "HealthCheckEnabled": true, "HealthCheckIntervalSeconds": 30, "HealthCheckTimeoutSeconds": 10, "HealthyThresholdCount": 3,
		"UnhealthyThresholdCount": 3, "LoadBalancerArns>member": users, "TargetType": "instance", "IpAddressType": "ipv4"}, err
}

func describeListeners(x *exchange) (any, error) {
	of := x.in.Text("LoadBalancerArn")
	if of == "" {
		return nil, refuse("ValidationError", "You must specify either listener ARNs or a load balancer ARN. (The sandbox finds listeners by the latter.)")
	}
	var rows []wire.Fields
	err := x.view(func(tx *world.Tx) error {
		b, err := x.balancer(tx, of)
		for _, p := range b.Ports {
			rows = append(rows, wire.Fields{"ListenerArn": strings.Replace(b.ARN, ":loadbalancer/", ":listener/", 1) + "/" + p.ListenerTail, "LoadBalancerArn": b.ARN,
				"Port": p.Entry, "Protocol": p.Protocol, "DefaultActions>member": []wire.Fields{{"Type": "forward", "TargetGroupArn": p.TargetGroup}}})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return pageBy(x, "Listeners", rows)
}

func (x *exchange) balancer(tx *world.Tx, arn string) (balancer, error) {
	b, err := world.Get[balancer](tx, ref(kindBalancer, arn))
	if isNotFound(err) || err == nil && b.Region != x.region {
		return b, refuse("LoadBalancerNotFound", "One or more load balancers not found")
	}
	return b, err
}

func describeBalancerTags(x *exchange) (any, error) {
	arns := x.in.Texts("ResourceArns")
	if len(arns) < 1 || len(arns) > 20 {
		return nil, refuse("ValidationError", "Between 1 and 20 resource ARNs are to be given, not %d", len(arns))
	}
	rows := []wire.Fields{}
	err := x.view(func(tx *world.Tx) error {
		for _, arn := range arns {
			var t tags
			var err error
			if strings.Contains(arn, ":targetgroup/") {
				var group targetGroup
				group, err = x.targetGroup(tx, arn)
				t = group.Tags
			} else {
				var b balancer
				b, err = x.balancer(tx, arn)
				t = b.Tags
			}
			if err != nil {
				return err
			}
			rows = append(rows, wire.Fields{"ResourceArn": arn, "Tags>member": t.upper()})
		}
		return nil
	})
	return wire.Fields{"TagDescriptions>member": rows}, err
}

func (x *exchange) targetGroup(tx *world.Tx, arn string) (targetGroup, error) {
	t, err := world.Get[targetGroup](tx, ref(kindTargetGroup, arn))
	if isNotFound(err) || err == nil && t.Region != x.region {
		return t, refuse("TargetGroupNotFound", "One or more target groups not found")
	}
	return t, err
}

// deleteBalancer deletes a load balancer; its network interfaces follow. One that is gone is fine.
func deleteBalancer(x *exchange) (any, error) {
	if err := x.needs("LoadBalancerArn"); err != nil {
		return nil, err
	}
	arn := x.in.Text("LoadBalancerArn")
	err := x.commit(func(tx *world.Tx) error {
		b, err := world.Get[balancer](tx, ref(kindBalancer, arn))
		if isNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		t, err := x.BeginEnd(tx, arn, interfacesStay)
		return errors.Join(err, b.end(tx, x.Effect(world.Deleted, kindBalancer, arn, ""), t))
	})
	return wire.Fields{}, err
}

// end removes a load balancer, and in a while its interfaces.
func (b balancer) end(tx *world.Tx, effect world.Effect, t world.Transition) error {
	return errors.Join(drop(tx, kindBalancer, b, effect), start(tx, kindBalancer, b.ARN, "gone", t))
}

func finishBalancer(tx *world.Tx, u underway, _ time.Time) error {
	if u.To == "gone" {
		list, err := all(tx, kindInterface, func(i netInterface) bool { return i.Of == u.ID })
		if err != nil || len(list) == 0 {
			return err
		}
		return unhouse(tx, u.ID, list[0].VPC)
	}
	return change(tx, kindBalancer, u.ID, func(b *balancer) { b.State = u.To })
}

func deleteTargetGroup(x *exchange) (any, error) {
	if err := x.needs("TargetGroupArn"); err != nil {
		return nil, err
	}
	arn := x.in.Text("TargetGroupArn")
	err := x.commit(func(tx *world.Tx) error {
		t, err := world.Get[targetGroup](tx, ref(kindTargetGroup, arn))
		if isNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		user, err := tx.NameOf(ref(kindBalancer, t.Balancer))
		if err != nil {
			return err
		}
		if user != "" {
			return refuse("ResourceInUse", "Target group '%s' is currently in use by a listener or a rule", arn)
		}
		return drop(tx, kindTargetGroup, t, x.Effect(world.Deleted, kindTargetGroup, arn, ""))
	})
	return wire.Fields{}, err
}
