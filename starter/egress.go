package main

import (
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/m3o/platform/internal/region"
)

// maxEgress bounds M3O_EGRESS_CIDRS. With the 32 ranges that access_cidrs may have and the addresses of three NAT gateways they are 40,
// as many as EKS takes; the other clouds take more.
const maxEgress = 5

// egress are the ranges that this worker is seen by outside; none are known where the setting is not there.
func (b *base) egress() ([]string, error) {
	if b.settings.Egress == "" {
		return nil, nil
	}
	seen := map[string]bool{}
	var list []string
	for text := range strings.SplitSeq(b.settings.Egress, ",") {
		text = strings.TrimSpace(text)
		prefix, err := netip.ParsePrefix(text)
		switch {
		case err != nil || !prefix.Addr().Is4():
			return nil, misuse("M3O_EGRESS_CIDRS: %q is not an IPv4 range such as 203.0.113.7/32", text)
		case prefix != prefix.Masked():
			return nil, misuse("M3O_EGRESS_CIDRS: %q has host bits: write %q", text, prefix.Masked())
		case !region.IsPublic(prefix):
			return nil, misuse("M3O_EGRESS_CIDRS: %q is private: write what this worker is seen by outside, such as its NAT's address", text)
		case prefix.Bits() == 0:
			return nil, misuse("M3O_EGRESS_CIDRS: %q lets everybody in, whatever access_cidrs says: list what this worker is seen by", text)
		case seen[text]:
			return nil, misuse("M3O_EGRESS_CIDRS: %q is listed twice", text)
		}
		seen[text] = true
		list = append(list, text)
	}
	if len(list) > maxEgress {
		return nil, misuse("M3O_EGRESS_CIDRS: %d ranges are more than %d", len(list), maxEgress)
	}
	return list, nil
}

// warnOfStaticKeys says that a worker acts by keys from a file, which nobody rotates and whoever reads it can use anywhere, where the
// cloud gives machines an identity. On the loopback it is a sandbox's.
func (b *base) warnOfStaticKeys(cloud, variable, file, at, better string) {
	if file == "" || onLoopback(at) {
		return
	}
	b.signals.Logger.Warn("this worker acts by keys from a file: do so for a first try only", "cloud", cloud, "setting", variable,
		"better", "give the machine "+better+", and leave the setting out")
}

// onLoopback reports whether a base URL leads to this machine and nowhere else.
func onLoopback(base string) bool {
	u, err := url.Parse(base)
	if err != nil {
		return false
	}
	address := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || address != nil && address.IsLoopback()
}
