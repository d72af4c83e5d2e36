package digitalocean

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"time"

	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// What a request must be, as far as it can be said without looking at the account.

var tagForm = regexp.MustCompile(`^[a-zA-Z0-9_\-:]{1,255}$`)

var days = []string{"any", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}

// maxPoolName leaves room for the suffix in a node's name, which is also a label's value.
const maxPoolName = 57

func (r clusterRequest) check(offered []string) error {
	if err := checkDNSLabel("name", r.Name, validation.DNS1123LabelMaxLength); err != nil {
		return err
	}
	where, known := findRegion(r.Region)
	if !known || !where.Kubernetes {
		return unprocessable("invalid region %q", r.Region)
	}
	if _, known := resolveVersion(r.Version, offered); !known {
		return unprocessable("invalid version slug %q", r.Version)
	}
	if r.ClusterSubnet != "" && r.ClusterSubnet != clusterSubnet || r.ServiceSubnet != "" && r.ServiceSubnet != serviceSubnet {
		return unprocessable("the sandbox's clusters have the subnets %s and %s, and no others", clusterSubnet, serviceSubnet)
	}
	if r.IsolatedWorkers || r.WorkerSubnet != "" {
		return unprocessable("the sandbox has no isolated workers and no worker subnets")
	}
	if err := checkTags(r.Tags); err != nil {
		return err
	}
	if err := r.MaintenancePolicy.check(); err != nil {
		return err
	}
	if err := checkFirewall(r.ControlPlaneFirewall); err != nil {
		return err
	}
	return checkPools(r.NodePools)
}

// maxAllowed bounds the firewall's list, which everybody is given back who lists clusters.
const maxAllowed = 1000

// checkFirewall checks the one of the kept settings that a mistake in would lock somebody out by.
func checkFirewall(s settings) error {
	enabled, isBool := s["enabled"].(bool)
	list, isList := s["allowed_addresses"].([]any)
	switch {
	case s["enabled"] != nil && !isBool:
		return unprocessable("control_plane_firewall.enabled must be a boolean")
	case s["allowed_addresses"] != nil && !isList:
		return unprocessable("control_plane_firewall.allowed_addresses must be a list")
	case len(list) > maxAllowed:
		return unprocessable("control_plane_firewall.allowed_addresses has %d entries: at most %d are allowed", len(list), maxAllowed)
	case enabled && len(list) == 0:
		return unprocessable("control_plane_firewall.allowed_addresses must not be empty when the firewall is enabled")
	}
	for _, entry := range list {
		text, _ := entry.(string)
		address, err := netip.ParseAddr(text)
		prefix, wrong := netip.ParsePrefix(text)
		if (err != nil || !address.Is4()) && (wrong != nil || !prefix.Addr().Is4()) {
			return unprocessable("control_plane_firewall.allowed_addresses: %q is neither an IPv4 address nor a CIDR", text)
		}
	}
	return nil
}

func checkPools(pools []poolRequest) error {
	if len(pools) == 0 {
		return unprocessable("at least one node pool is required")
	}
	if len(pools) > maxPools {
		return unprocessable("%d node pools are more than %d", len(pools), maxPools)
	}
	seen := map[string]bool{}
	for _, p := range pools {
		if err := p.check(); err != nil {
			return err
		}
		if seen[p.Name] {
			return unprocessable("node pool name %q is used twice", p.Name)
		}
		seen[p.Name] = true
	}
	return nil
}

func (u clusterUpdate) check() error {
	if u.Name == "" {
		return unprocessable("name is required")
	}
	if u.Tags != nil {
		if err := checkTags(*u.Tags); err != nil {
			return err
		}
	}
	return errors.Join(u.MaintenancePolicy.check(), checkFirewall(u.ControlPlaneFirewall))
}

func (m *maintenance) check() error {
	if m == nil {
		return nil
	}
	if !slices.Contains(days, m.Day) || !checkClock(m.StartTime) {
		return unprocessable("maintenance_policy needs a day (any, monday, …) and a start_time (hh:mm)")
	}
	return nil
}

func (p poolRequest) check() error {
	if err := checkDNSLabel("node pool name", p.Name, maxPoolName); err != nil {
		return err
	}
	if s, known := findSize(p.Size); !known || !s.Kubernetes {
		return unprocessable("invalid size slug %q for node pool %q", p.Size, p.Name)
	}
	if err := checkCount(p.Count); err != nil {
		return err
	}
	if p.AutoScale {
		return unprocessable("the sandbox cannot scale node pools by itself: leave out auto_scale")
	}
	return checkMarks(p.Tags, p.Labels, p.Taints)
}

func (u poolUpdate) check() error {
	if u.Count != nil {
		if err := checkCount(*u.Count); err != nil {
			return err
		}
	}
	if u.AutoScale {
		return unprocessable("the sandbox cannot scale node pools by itself: leave out auto_scale")
	}
	var tags []string
	var labels map[string]string
	if u.Tags != nil {
		tags = *u.Tags
	}
	if u.Labels != nil {
		labels = *u.Labels
	}
	return checkMarks(tags, labels, u.Taints)
}

func checkCount(count int) error {
	if count < 1 || count > maxNodes {
		return unprocessable("node count must be between 1 and %d", maxNodes)
	}
	return nil
}

func checkMarks(tags []string, labels map[string]string, taints []taint) error {
	if err := checkTags(tags); err != nil {
		return err
	}
	if problems := metav1validation.ValidateLabels(labels, field.NewPath("labels")); len(problems) > 0 {
		return unprocessable("%v", problems.ToAggregate())
	}
	if len(taints) > 0 {
		return unprocessable("the sandbox's nodes cannot have taints")
	}
	return nil
}

func checkTags(tags []string) error {
	for _, tag := range tags {
		if !tagForm.MatchString(tag) {
			return unprocessable("tag %q: tags consist of letters, numbers, colons, dashes and underscores, at most 255", tag)
		}
	}
	return nil
}

// checkDNSLabel keeps names such that nodes can be called after them.
func checkDNSLabel(what, name string, most int) error {
	problems := validation.IsDNS1123Label(name)
	if len(name) > most {
		problems = append(problems, fmt.Sprintf("must be no more than %d characters", most))
	}
	if len(problems) > 0 {
		return unprocessable("%s %q: %s", what, name, problems[0])
	}
	return nil
}

// checkClock says whether text is a time of day.
func checkClock(text string) bool {
	_, err := time.Parse("15:04", text)
	return err == nil
}
