package gcp

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"github.com/m3o/platform/internal/sandbox/world"
)

// checkNetwork takes networks of custom mode: the sandbox has none of those that bring a subnetwork for every region.
func checkNetwork(_ *request, _ *world.Tx, r *resource) error {
	if _, old := r.Doc["IPv4Range"]; old {
		return invalidField("resource.IPv4Range", r.Doc["IPv4Range"], "Legacy networks cannot be created.")
	}
	auto, given := r.Doc["autoCreateSubnetworks"].(bool)
	if auto || !given {
		return invalidField("resource.autoCreateSubnetworks", auto, "The sandbox has only networks of custom mode.")
	}
	if _, given := r.Doc["mtu"]; !given {
		r.Doc["mtu"] = 1460
	}
	if _, given := r.Doc["routingConfig"]; !given {
		r.Doc["routingConfig"] = map[string]any{"routingMode": "REGIONAL"}
	}
	if mode, _ := field(r.Doc, "routingConfig.routingMode"); mode != "REGIONAL" && mode != "GLOBAL" {
		return invalidField("resource.routingConfig.routingMode", mode, "Must be one of [GLOBAL, REGIONAL].")
	}
	r.Doc["networkFirewallPolicyEnforcementOrder"] = "AFTER_CLASSIC_FIREWALL"
	return nil
}

// showNetwork lists a network's subnetworks.
func showNetwork(tx *world.Tx, r resource, doc document) error {
	doc["selfLinkWithId"] = computeLink("projects/" + ProjectID + "/global/networks/" + r.ID)
	all, err := world.List[resource](tx, ref("subnetworks", ""))
	var links []string
	for _, one := range all {
		if one.Doc.text("network") == r.link() && !one.Fresh {
			links = append(links, one.link())
		}
	}
	if len(links) > 0 {
		doc["subnetworks"] = links
	}
	return err
}

// ipRange reads a private range of at least 8 addresses, given by its first.
func ipRange(field, text string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil || !prefix.Addr().Is4() || prefix.Bits() > 29 || prefix.Bits() < 8 {
		return prefix, invalidField(field, text, "Must be a CIDR address range that is contained in the valid ranges, with a length between 8 and 29.")
	}
	if prefix.Masked() != prefix {
		return prefix, invalidField(field, text, "Must be a CIDR address range: the host bits are not zero.")
	}
	return prefix, nil
}

// rangesOf are all ranges of a subnetwork by their names; the first's is empty.
func rangesOf(doc document) (map[string]netip.Prefix, error) {
	first, err := ipRange("resource.ipCidrRange", doc.text("ipCidrRange"))
	if err != nil {
		return nil, err
	}
	ranges := map[string]netip.Prefix{"": first}
	for i, item := range doc.list("secondaryIpRanges") {
		one, _ := item.(map[string]any)
		name, at := document(one).text("rangeName"), fmt.Sprintf("resource.secondaryIpRanges[%d]", i)
		if !resourceName.MatchString(name) {
			return nil, invalidField(at+".rangeName", name, "Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)'")
		}
		if _, twice := ranges[name]; twice {
			return nil, invalidField(at+".rangeName", name, "Secondary range names must be unique.")
		}
		prefix, err := ipRange(at+".ipCidrRange", document(one).text("ipCidrRange"))
		if err != nil {
			return nil, err
		}
		for _, other := range ranges {
			if other.Overlaps(prefix) {
				return nil, invalidField(at+".ipCidrRange", prefix, "Invalid IPCidrRange: %s conflicts with existing range %s of the subnetwork.", prefix, other)
			}
		}
		ranges[name] = prefix
	}
	return ranges, nil
}

func checkSubnetwork(_ *request, tx *world.Tx, r *resource) error {
	network, err := refer(tx, "resource.network", r.Doc.text("network"), "networks")
	if err != nil {
		return err
	}
	r.Doc["network"] = network.link()
	for field, standard := range map[string]any{"privateIpGoogleAccess": false, "purpose": "PRIVATE", "stackType": "IPV4_ONLY",
		"privateIpv6GoogleAccess": "DISABLE_GOOGLE_ACCESS"} {
		if _, given := r.Doc[field]; !given {
			r.Doc[field] = standard
		}
	}
	return r.checkRanges(tx)
}

// checkRanges says what overlaps with the subnetwork's ranges in its network.
func (r *resource) checkRanges(tx *world.Tx) error {
	ranges, err := rangesOf(r.Doc)
	if err != nil {
		return err
	}
	others, err := world.List[resource](tx, ref("subnetworks", ""))
	if err != nil {
		return err
	}
	for _, other := range others {
		if other.Doc.text("network") != r.Doc.text("network") || other.path() == r.path() {
			continue
		}
		theirs, err := rangesOf(other.Doc)
		if err != nil {
			return err
		}
		for _, taken := range theirs {
			for _, wanted := range ranges {
				if wanted.Overlaps(taken) {
					return invalidField("resource.ipCidrRange", wanted, "Invalid IPCidrRange: %s conflicts with existing subnetwork '%s' in region '%s'.",
						wanted, other.Name, strings.TrimPrefix(other.Scope, regionS+"/"))
				}
			}
		}
	}
	return nil
}

// patchSubnetwork lets ranges be added and access be switched.
func patchSubnetwork(_ *request, tx *world.Tx, r *resource) error { return r.checkRanges(tx) }

func showSubnetwork(_ *world.Tx, r resource, doc document) error {
	doc["fingerprint"] = fingerprint(r.Doc)
	prefix, err := netip.ParsePrefix(r.Doc.text("ipCidrRange"))
	if err != nil {
		return fmt.Errorf("subnetwork %s: %w", r.Name, err)
	}
	doc["gatewayAddress"] = prefix.Addr().Next().String()
	return nil
}

// fingerprint changes with a document.
func fingerprint(doc document) string {
	data, err := json.Marshal(doc)
	if err != nil {
		panic(fmt.Sprintf("a document of ours is not JSON: %v", err)) // it was read from JSON
	}
	sum := sha256.Sum256(data)
	return base64.StdEncoding.EncodeToString(sum[:8])
}

// checkRouter takes a router with the NATs that the sandbox knows: for all ranges of all subnetworks or of those listed.
func checkRouter(r *request, tx *world.Tx, made *resource) error {
	network, err := refer(tx, "resource.network", made.Doc.text("network"), "networks")
	if err != nil {
		return err
	}
	made.Doc["network"] = network.link()
	for i, item := range made.Doc.list("nats") {
		nat, isMap := item.(map[string]any)
		if !isMap {
			return invalidField(fmt.Sprintf("resource.nats[%d]", i), item, "It must be an object.")
		}
		if err := r.checkNAT(tx, fmt.Sprintf("resource.nats[%d]", i), nat); err != nil {
			return err
		}
	}
	return nil
}

func (r *request) checkNAT(tx *world.Tx, at string, nat document) error {
	if !resourceName.MatchString(nat.text("name")) {
		return invalidField(at+".name", nat.text("name"), "Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)'")
	}
	switch nat.text("sourceSubnetworkIpRangesToNat") {
	case "ALL_SUBNETWORKS_ALL_IP_RANGES", "ALL_SUBNETWORKS_ALL_PRIMARY_IP_RANGES", "LIST_OF_SUBNETWORKS":
	default:
		return invalidField(at+".sourceSubnetworkIpRangesToNat", nat.text("sourceSubnetworkIpRangesToNat"), "It must be specified.")
	}
	addresses := nat.list("natIps")
	switch option := nat.text("natIpAllocateOption"); {
	case option == "MANUAL_ONLY" && len(addresses) == 0:
		return invalidField(at+".natIps", "", "NAT IPs must be specified when natIpAllocateOption is MANUAL_ONLY.")
	case option == "AUTO_ONLY" && len(addresses) > 0:
		return invalidField(at+".natIps", "", "NAT IPs must not be specified when natIpAllocateOption is AUTO_ONLY.")
	case option != "MANUAL_ONLY" && option != "AUTO_ONLY":
		return invalidField(at+".natIpAllocateOption", option, "It must be one of [AUTO_ONLY, MANUAL_ONLY].")
	}
	if len(addresses) > 0 {
		if err := r.authorize("compute.addresses.use"); err != nil {
			return err
		}
	}
	for i, item := range addresses {
		link, _ := item.(string)
		address, err := refer(tx, fmt.Sprintf("%s.natIps[%d]", at, i), link, "addresses")
		if err != nil {
			return err
		}
		addresses[i] = address.link()
	}
	for field, standard := range map[string]any{"type": "PUBLIC", "enableEndpointIndependentMapping": false,
		"endpointTypes": []any{"ENDPOINT_TYPE_VM"}} {
		if _, given := nat[field]; !given {
			nat[field] = standard
		}
	}
	return nil
}

// checkAddress reserves an external address. They are of a range for documentation, so that nobody is ever meant.
func checkAddress(by *request, tx *world.Tx, r *resource) error {
	if kind := r.Doc.text("addressType"); kind != "" && kind != "EXTERNAL" {
		return invalidField("resource.addressType", kind, "The sandbox reserves only external addresses.")
	}
	if r.Doc.text("address") != "" {
		return invalidField("resource.address", r.Doc.text("address"), "The sandbox chooses addresses itself.")
	}
	if err := by.checkLabels(r.Doc); err != nil {
		return err
	}
	r.Doc["addressType"] = "EXTERNAL"
	if r.Doc.text("networkTier") == "" {
		r.Doc["networkTier"] = "PREMIUM"
	}
	address, err := freeAddress(tx)
	r.Doc["address"] = address
	return err
}

// freeAddress is the first of 198.18.0.0/15, the range for benchmarks, that nobody has.
func freeAddress(tx *world.Tx) (string, error) {
	all, err := world.List[resource](tx, ref("addresses", ""))
	if err != nil {
		return "", err
	}
	taken := map[string]bool{}
	for _, one := range all {
		taken[one.Doc.text("address")] = true
	}
	pool := netip.MustParsePrefix("198.18.0.0/15")
	for address := pool.Addr().Next(); pool.Contains(address); address = address.Next() {
		if !taken[address.String()] {
			return address.String(), nil
		}
	}
	return "", overQuota(serviceCompute, "STATIC_ADDRESSES", projectLimits["STATIC_ADDRESSES"], "globally")
}

// showAddress says who uses an address.
func showAddress(tx *world.Tx, r resource, doc document) error {
	doc["labelFingerprint"] = fingerprint(document{"labels": r.Doc["labels"]})
	if r.Fresh {
		doc["status"] = "RESERVING"
		delete(doc, "address")
		return nil
	}
	doc["status"] = "RESERVED"
	for _, kind := range []string{"routers", "forwardingRules"} {
		all, err := world.List[resource](tx, ref(kind, ""))
		if err != nil {
			return err
		}
		for _, one := range all {
			if refersTo(one.Doc, r.link()) {
				doc["status"], doc["users"] = "IN_USE", []string{one.link()}
			}
		}
	}
	return nil
}

func checkFirewall(_ *request, tx *world.Tx, r *resource) error {
	network, err := refer(tx, "resource.network", r.Doc.text("network"), "networks")
	if err != nil {
		return err
	}
	r.Doc["network"] = network.link()
	if len(r.Doc.list("allowed")) == 0 && len(r.Doc.list("denied")) == 0 {
		return invalidField("resource", r.Name, "Either allowed or denied must be specified.")
	}
	for field, standard := range map[string]any{"direction": "INGRESS", "priority": 1000, "disabled": false, "logConfig": map[string]any{"enable": false}} {
		if _, given := r.Doc[field]; !given {
			r.Doc[field] = standard
		}
	}
	return nil
}

// checkDisk makes a blank disk.
func checkDisk(r *request, tx *world.Tx, made *resource) error {
	for _, source := range []string{"sourceImage", "sourceSnapshot", "sourceDisk"} {
		if made.Doc.text(source) != "" {
			return invalidField("resource."+source, made.Doc.text(source), "The sandbox makes only blank disks.")
		}
	}
	size := made.Doc.text("sizeGb")
	if n := 0; size != "" {
		if _, err := fmt.Sscanf(size, "%d", &n); err != nil || n < 1 || n > 65536 {
			return invalidField("resource.sizeGb", size, "Disk size must be between 1 GB and 65536 GB.")
		}
	} else {
		made.Doc["sizeGb"] = "500"
	}
	if err := r.checkLabels(made.Doc); err != nil {
		return err
	}
	made.Doc["status"] = "READY"
	zone := strings.TrimPrefix(made.Scope, zoneS+"/")
	kind, ok := linkPath(made.Doc.text("type"))
	if !ok {
		kind = "projects/" + ProjectID + "/zones/" + zone + "/diskTypes/pd-standard"
	}
	made.Doc["type"] = computeLink(kind)
	made.Doc["physicalBlockSizeBytes"] = "4096"
	return nil
}

// checkLabels says which labels are none: at most 64, lower-case, at most 63 characters each.
func (r *request) checkLabels(doc document) error {
	labels, _ := doc["labels"].(map[string]any)
	if len(labels) > 0 {
		if err := r.authorize("compute." + r.route.collection.permission + ".setLabels"); err != nil {
			return err
		}
	}
	if len(labels) > 64 {
		return invalidField("resource.labels", len(labels), "There are at most 64 labels.")
	}
	for key, value := range labels {
		text, _ := value.(string)
		if err := checkLabel("resource.labels", key, text); err != nil {
			return err
		}
	}
	return nil
}

func checkLabel(field, key, value string) error {
	if !labelKey.MatchString(key) {
		return invalidField(field, key, "Label keys must be between 1 and 63 characters, and consist of lower-case letters, numbers, underscores and dashes, beginning with a letter.")
	}
	if !labelValue.MatchString(value) {
		return invalidField(field, value, "Label values can be at most 63 characters, of lower-case letters, numbers, underscores and dashes.")
	}
	return nil
}
