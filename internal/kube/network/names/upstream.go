package names

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	resolvConf = "/etc/resolv.conf"
	// recheck is how often the machine's resolvers are looked up: laptops move.
	recheck = 5 * time.Second
	// A resolver has that long; then the next is asked.
	exchangeTimeout = 2 * time.Second
	maxExchanges    = 512
	maxResolvers    = 3
)

// upstream asks the resolvers of the outside.
type upstream struct {
	fixed []string
	slots chan struct{}

	mu      sync.Mutex
	current []string
	read    time.Time
}

func newUpstream(fixed []string) *upstream {
	return &upstream{fixed: fixed, slots: make(chan struct{}, maxExchanges)}
}

// forward asks one resolver after the other until one knows. If none does,
// the answer is SERVFAIL.
func (u *upstream) forward(ctx context.Context, request *dns.Msg) *dns.Msg {
	failure := (&dns.Msg{}).SetRcode(request, dns.RcodeServerFailure)
	select {
	case u.slots <- struct{}{}:
		defer func() { <-u.slots }()
	default:
		return failure
	}
	question := request.Copy()
	question.Id = dns.Id()
	question.Extra = nil
	question.SetEdns0(maxUDP, false)
	for _, resolver := range u.resolvers() {
		answer := exchange(ctx, question, resolver)
		if answer == nil || answer.Rcode == dns.RcodeServerFailure || answer.Rcode == dns.RcodeRefused {
			continue
		}
		answer.Id, answer.Question = request.Id, request.Question
		withoutOptions(answer)
		return answer
	}
	return failure
}

// exchange asks one resolver, and again over TCP when the answer does not fit or
// UDP is refused.
func exchange(ctx context.Context, question *dns.Msg, resolver string) *dns.Msg {
	client := dns.Client{Net: "udp", Timeout: exchangeTimeout, UDPSize: maxUDP}
	answer, _, err := client.ExchangeContext(ctx, question, resolver)
	if err == nil && !answer.Truncated || errors.Is(err, os.ErrDeadlineExceeded) {
		return answer
	}
	client.Net = "tcp"
	if whole, _, err := client.ExchangeContext(ctx, question, resolver); err == nil {
		return whole
	}
	// A truncated answer is better than none: it says that the name is there.
	return answer
}

// withoutOptions removes what the two of us agreed on with the resolver; it
// is not the client's.
func withoutOptions(answer *dns.Msg) {
	kept := answer.Extra[:0]
	for _, record := range answer.Extra {
		if record.Header().Rrtype != dns.TypeOPT {
			kept = append(kept, record)
		}
	}
	answer.Extra = kept
}

// resolvers are the fixed ones, or the machine's.
func (u *upstream) resolvers() []string {
	if len(u.fixed) > 0 {
		return u.fixed
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if time.Since(u.read) < recheck {
		return u.current
	}
	u.read = time.Now()
	file, err := os.Open(resolvConf)
	if err != nil {
		return u.current
	}
	defer file.Close()
	config, err := dns.ClientConfigFromReader(file)
	if err != nil {
		return u.current
	}
	u.current = nil
	for _, server := range config.Servers[:min(len(config.Servers), maxResolvers)] {
		u.current = append(u.current, net.JoinHostPort(server, config.Port))
	}
	return u.current
}
