package digitalocean

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/m3o/platform/internal/sandbox/world"
)

// Droplets are the machines of the clusters' nodes. The sandbox has no others, and they can only be listed: they come and go
// with their nodes.

type wireDroplet struct {
	ID      int    `json:"id"`
	Name    string `json:"name"`
	Memory  int    `json:"memory"`
	CPUs    int    `json:"vcpus"`
	Disk    int    `json:"disk"`
	Locked  bool   `json:"locked"`
	Status  string `json:"status"`
	Created stamp  `json:"created_at"`
	// Kernel and NextBackup are null: its own kernel, no backups.
	Kernel     *struct{}  `json:"kernel"`
	NextBackup *struct{}  `json:"next_backup_window"`
	Features   []string   `json:"features"`
	Backups    []int      `json:"backup_ids"`
	Snapshots  []int      `json:"snapshot_ids"`
	Volumes    []string   `json:"volume_ids"`
	Image      wireImage  `json:"image"`
	Size       wireSize   `json:"size"`
	SizeSlug   string     `json:"size_slug"`
	Networks   networks   `json:"networks"`
	Region     wireRegion `json:"region"`
	Tags       []string   `json:"tags"`
	VPC        string     `json:"vpc_uuid"`
}

type wireImage struct {
	ID           int      `json:"id"`
	Name         string   `json:"name"`
	Type         string   `json:"type"`
	Distribution string   `json:"distribution"`
	Slug         *string  `json:"slug"`
	Public       bool     `json:"public"`
	Regions      []string `json:"regions"`
	Created      stamp    `json:"created_at"`
	MinDisk      int      `json:"min_disk_size"`
	SizeGB       float64  `json:"size_gigabytes"`
	Description  string   `json:"description"`
	Tags         []string `json:"tags"`
	Status       string   `json:"status"`
}

type networks struct {
	V4 []interfaceV4 `json:"v4"`
	V6 []struct{}    `json:"v6"`
}

type interfaceV4 struct {
	Address string `json:"ip_address"`
	Netmask string `json:"netmask"`
	Gateway string `json:"gateway"`
	Type    string `json:"type"`
}

func listDroplets(c *exchange) (reply, error) {
	asked, err := dropletFilterOf(c.Request.URL.Query())
	if err != nil {
		return reply{}, err
	}
	wires := []wireDroplet{}
	err = c.View(func(tx *world.Tx) error {
		all, err := world.List[cluster](tx, ref(kindCluster, ""))
		if err != nil {
			return err
		}
		for _, one := range all {
			f, err := loadFamily(tx, one.ID)
			if err != nil {
				return err
			}
			network, err := world.Get[vpc](tx, ref(kindVPC, one.VPC))
			if err != nil {
				return err
			}
			wires = append(wires, f.droplets(network)...)
		}
		return nil
	})
	wires = slices.DeleteFunc(wires, func(d wireDroplet) bool { return !asked.fits(d) })
	return reply{status: http.StatusOK, body: listed(pageOf(c.Request), "droplets", wires)}, err
}

// dropletFilter is what a list was asked to be limited to.
type dropletFilter struct {
	name, tag string
	gpus      bool
}

func dropletFilterOf(query url.Values) (dropletFilter, error) {
	asked := dropletFilter{name: query.Get("name"), tag: query.Get("tag_name"), gpus: query.Get("type") == "gpus"}
	if kind := query.Get("type"); kind != "" && kind != "droplets" && kind != "gpus" {
		return asked, badRequest("type must be droplets or gpus")
	}
	if asked.tag != "" && (asked.name != "" || query.Get("type") != "") {
		return asked, badRequest("tag_name cannot be combined with name or type")
	}
	return asked, nil
}

// fits compares without regard to case, as there.
func (a dropletFilter) fits(d wireDroplet) bool {
	if a.gpus || a.name != "" && !strings.EqualFold(a.name, d.Name) {
		return false
	}
	return a.tag == "" || slices.ContainsFunc(d.Tags, func(tag string) bool { return strings.EqualFold(tag, a.tag) })
}

// droplets are the nodes' machines. They carry the tags of the cluster and of their pool.
func (f *family) droplets(network vpc) []wireDroplet {
	all := make([]wireDroplet, 0, len(f.nodes))
	for _, p := range f.pools {
		tags := slices.Concat([]string{"k8s", "k8s:" + f.cluster.ID, "k8s:worker"}, f.cluster.Tags, p.Tags)
		slices.Sort(tags)
		tags = slices.Compact(tags)
		for _, n := range f.nodesOf(p.ID) {
			all = append(all, n.droplet(f.cluster, p, network, tags))
		}
	}
	return all
}

func (n node) droplet(of cluster, p pool, network vpc, tags []string) wireDroplet {
	kind, _ := findSize(p.Size)
	where, _ := findRegion(of.Region)
	d := wireDroplet{
		ID: n.DropletID, Name: n.Name, Memory: kind.MemoryMiB, CPUs: kind.CPUs, Disk: kind.DiskGiB, Status: "active", Created: stamp(n.CreatedAt),
		Features: []string{"private_networking"}, Backups: []int{}, Snapshots: []int{}, Volumes: []string{}, Image: nodeImage(of),
		Size: kind.wire(), SizeSlug: kind.Slug, Networks: networks{V4: []interfaceV4{}, V6: []struct{}{}}, Region: where.wire(), Tags: tags, VPC: of.VPC,
	}
	if n.State == provisioning {
		d.Status = "new"
	} else if prefix, err := netip.ParsePrefix(network.IPRange); err == nil && n.Address != "" {
		d.Networks.V4 = []interfaceV4{{Address: n.Address, Netmask: netmask(prefix), Gateway: "nil", Type: "private"}}
	}
	return d
}

// imagesMade is when the nodes' images were made.
var imagesMade = time.Date(2026, time.August, 3, 9, 0, 0, 0, time.UTC)

// nodeImage is what nodes boot: an image of the provider's own, which nobody else can use.
func nodeImage(of cluster) wireImage {
	h := fnv.New32a()
	_, _ = h.Write([]byte(of.Version))
	return wireImage{ID: 100_000_000 + int(h.Sum32()%100_000_000), Name: "do-kube-" + of.Version, Type: "admin", Distribution: "Debian",
		Regions: []string{of.Region}, Created: stamp(imagesMade), MinDisk: 20, SizeGB: 2.5, Tags: []string{}, Status: "available"}
}

func netmask(prefix netip.Prefix) string {
	mask := ^uint32(0) << (32 - prefix.Bits())
	return netip.AddrFrom4([4]byte{byte(mask >> 24), byte(mask >> 16), byte(mask >> 8), byte(mask)}).String()
}

// addresses hands out the free addresses of a VPC, lowest first.
type addresses struct {
	network netip.Prefix
	taken   map[string]bool
	next    netip.Addr
}

// addressesFor looks at what is taken in the family's VPC, by the family itself too, which need not be stored yet.
func addressesFor(tx *world.Tx, f *family) (*addresses, error) {
	v, err := world.Get[vpc](tx, ref(kindVPC, f.cluster.VPC))
	if err != nil {
		return nil, err
	}
	prefix, err := netip.ParsePrefix(v.IPRange)
	if err != nil {
		return nil, fmt.Errorf("the network of VPC %s: %w", v.Name, err)
	}
	// The first two are the network's own and its router's.
	a := &addresses{network: prefix, taken: map[string]bool{}, next: prefix.Addr().Next().Next()}
	neighbours, err := world.Children[cluster](tx, ref(kindCluster, v.ID))
	if err != nil {
		return nil, err
	}
	nodes := f.nodes
	for _, one := range neighbours {
		theirs, err := world.Children[node](tx, ref(kindNode, one.ID))
		if err != nil {
			return nil, err
		}
		nodes = slices.Concat(nodes, theirs)
	}
	for _, n := range nodes {
		a.taken[n.Address] = true
	}
	return a, nil
}

// take returns a free address. The last one of a network is for broadcasts.
func (a *addresses) take() (string, error) {
	for ; a.network.Contains(a.next.Next()); a.next = a.next.Next() {
		if text := a.next.String(); !a.taken[text] {
			a.taken[text] = true
			return text, nil
		}
	}
	return "", unprocessable("the VPC's network %s has no free addresses", a.network)
}
