package names

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"

	"github.com/miekg/dns"
)

const (
	// ttl is short: endpoints come and go.
	ttl = 5
	// Every server is as good as the others.
	srvPriority, srvWeight = 0, 100
)

// compose makes the answer of what was found. A name that is not there gets
// NXDOMAIN, one without such records an empty answer: resolvers go on with
// their search list only after the first.
func (s *Server) compose(ctx context.Context, request *dns.Msg, f found) *dns.Msg {
	answer := (&dns.Msg{}).SetReply(request)
	answer.Authoritative = true
	if !f.exists {
		answer.Rcode = dns.RcodeNameError
		answer.Ns = []dns.RR{s.authority()}
		return answer
	}
	question := request.Question[0]
	if f.alias != "" {
		s.follow(ctx, answer, f.alias)
		return answer
	}
	name, kind := question.Name, question.Qtype
	if wants(kind, dns.TypeA) {
		answer.Answer = append(answer.Answer, addresses(name, f.addrs)...)
	}
	if wants(kind, dns.TypeSRV) {
		s.addServers(answer, name, f.servers)
	}
	if wants(kind, dns.TypePTR) {
		for _, pointer := range f.pointers {
			answer.Answer = append(answer.Answer, &dns.PTR{Hdr: header(name, dns.TypePTR), Ptr: pointer})
		}
	}
	if wants(kind, dns.TypeTXT) && f.text != "" {
		answer.Answer = append(answer.Answer, &dns.TXT{Hdr: header(name, dns.TypeTXT), Txt: []string{f.text}})
	}
	if kind == dns.TypeSOA && dns.CanonicalName(name) == s.domain {
		answer.Answer = append(answer.Answer, s.authority())
	}
	if len(answer.Answer) == 0 {
		answer.Ns = []dns.RR{s.authority()}
	}
	return answer
}

func wants(asked, kind uint16) bool { return asked == kind || asked == dns.TypeANY }

func (s *Server) addServers(answer *dns.Msg, name string, servers []target) {
	for _, server := range servers {
		answer.Answer = append(answer.Answer, &dns.SRV{
			Hdr: header(name, dns.TypeSRV), Priority: srvPriority, Weight: srvWeight, Port: server.port, Target: server.name,
		})
		answer.Extra = append(answer.Extra, addresses(server.name, []netip.Addr{server.addr})...)
	}
}

// follow answers with an alias and what it stands for, which may be in the
// cluster or outside. An alias that leads nowhere is still an answer.
func (s *Server) follow(ctx context.Context, answer *dns.Msg, alias string) {
	question := answer.Question[0]
	answer.Answer = append(answer.Answer, &dns.CNAME{Hdr: header(question.Name, dns.TypeCNAME), Target: alias})
	if question.Qtype == dns.TypeCNAME {
		return
	}
	request := (&dns.Msg{}).SetQuestion(alias, question.Qtype)
	f, ours := s.find(alias)
	switch {
	case !ours:
		rest := s.upstream.forward(ctx, request)
		answer.Rcode = rest.Rcode
		answer.Answer = append(answer.Answer, rest.Answer...)
	case f.alias == "":
		// An alias of an alias is not followed: it could go round in circles.
		rest := s.compose(ctx, request, f)
		answer.Rcode = rest.Rcode
		answer.Answer = append(answer.Answer, rest.Answer...)
	}
}

// addresses are A records in random order, so that clients which take the
// first one spread.
func addresses(name string, addrs []netip.Addr) []dns.RR {
	var records []dns.RR
	for _, i := range rand.Perm(len(addrs)) {
		records = append(records, &dns.A{Hdr: header(name, dns.TypeA), A: net.IP(addrs[i].AsSlice())})
	}
	return records
}

// authority is the start of authority, which tells how long "no" may be kept.
func (s *Server) authority() dns.RR {
	return &dns.SOA{
		Hdr: header(s.domain, dns.TypeSOA), Ns: "ns.dns." + s.domain, Mbox: "hostmaster." + s.domain,
		Serial: 1, Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: ttl,
	}
}

func header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}
