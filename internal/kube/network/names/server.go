// Package names is the cluster's name server. It answers for the cluster's
// domain as the Kubernetes DNS specification (1.1.0) asks, from the service
// table, and passes every other question on to the machine's resolvers.
// It keeps no cache and no zone files. Only internal/kube/network may import it.
package names

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/m3o/platform/internal/kube/network/service"
)

const (
	// maxUDP bounds answers over UDP, whatever the client offers.
	maxUDP = 4096
	// maxTCP is what fits behind DNS's length over TCP.
	maxTCP = 65535
	// answerTimeout bounds one question, with all that has to be asked for it.
	answerTimeout = 5 * time.Second
)

// Config says what a Server needs.
type Config struct {
	// Domain is the cluster's domain, such as cluster.local.
	Domain string
	// Table knows the Services.
	Table *service.Table
	// Hosts are further names, answered with their address.
	Hosts map[string]netip.Addr
	// Networks are the cluster's own addresses: nobody else is asked for the
	// names that belong to them.
	Networks []netip.Prefix
	// Resolvers answer everything else, as host:port. Without any, those in
	// /etc/resolv.conf are asked.
	Resolvers []string
	// Logger may be nil.
	Logger *slog.Logger
}

// Server answers the cluster's names.
type Server struct {
	domain   string // with the dot at its end
	table    *service.Table
	hosts    map[string]netip.Addr
	networks []netip.Prefix
	upstream *upstream
	log      *slog.Logger

	ctx     context.Context
	cancel  context.CancelFunc
	servers []*dns.Server
	running sync.WaitGroup
}

// New makes a server; Serve starts it.
func New(cfg Config) *Server {
	s := &Server{
		domain: dns.CanonicalName(cfg.Domain), table: cfg.Table, hosts: map[string]netip.Addr{},
		networks: cfg.Networks, upstream: newUpstream(cfg.Resolvers), log: cfg.Logger,
	}
	for name, addr := range cfg.Hosts {
		s.hosts[dns.CanonicalName(name)] = addr
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Serve answers on both sockets until Close, which also closes them. It returns
// when both are served.
func (s *Server) Serve(packets net.PacketConn, listener net.Listener) {
	for _, server := range []*dns.Server{{PacketConn: packets, UDPSize: maxUDP}, {Listener: listener}} {
		started := make(chan struct{})
		server.Handler, server.NotifyStartedFunc = s, func() { close(started) }
		s.servers = append(s.servers, server)
		failed := make(chan struct{})
		s.running.Go(func() {
			defer close(failed)
			if err := server.ActivateAndServe(); err != nil && s.ctx.Err() == nil {
				s.log.Error("the name server ended", "error", err)
			}
		})
		select {
		case <-started:
		case <-failed:
		}
	}
}

// Close ends the server.
func (s *Server) Close() {
	s.cancel()
	for _, server := range s.servers {
		_ = server.Shutdown()
	}
	s.running.Wait()
}

// ServeDNS implements dns.Handler.
func (s *Server) ServeDNS(w dns.ResponseWriter, request *dns.Msg) {
	ctx, cancel := context.WithTimeout(s.ctx, answerTimeout)
	defer cancel()
	answer := s.Answer(ctx, request)
	size := maxTCP
	if w.LocalAddr().Network() == "udp" {
		size = dns.MinMsgSize
		if option := request.IsEdns0(); option != nil {
			size = min(max(size, int(option.UDPSize())), maxUDP)
		}
	}
	answer.Truncate(size)
	if err := w.WriteMsg(answer); err != nil {
		s.log.Debug("an answer could not be sent", "error", err)
	}
}

// Answer answers one message. It always returns one.
func (s *Server) Answer(ctx context.Context, request *dns.Msg) *dns.Msg {
	answer := s.answer(ctx, request)
	answer.RecursionAvailable = true
	answer.Compress = true
	if option := request.IsEdns0(); option != nil && answer.IsEdns0() == nil {
		answer.SetEdns0(maxUDP, option.Do())
	}
	return answer
}

func (s *Server) answer(ctx context.Context, request *dns.Msg) *dns.Msg {
	answer := &dns.Msg{}
	if request.Opcode != dns.OpcodeQuery || len(request.Question) != 1 {
		return answer.SetRcode(request, dns.RcodeNotImplemented)
	}
	question := request.Question[0]
	if question.Qclass != dns.ClassINET {
		return answer.SetRcode(request, dns.RcodeRefused)
	}
	found, ours := s.find(dns.CanonicalName(question.Name))
	if !ours {
		return s.upstream.forward(ctx, request)
	}
	return s.compose(ctx, request, found)
}

// Lookup returns an address of a name of the cluster.
func (s *Server) Lookup(name string) (netip.Addr, error) {
	found, ours := s.find(dns.CanonicalName(name))
	if !ours && !strings.HasSuffix(name, ".") {
		found, ours = s.find(dns.CanonicalName(name + "." + s.domain))
	}
	switch {
	case !ours || !found.exists:
		return netip.Addr{}, fmt.Errorf("look up %s: %w", name, errNoSuchName)
	case len(found.addrs) == 0:
		return netip.Addr{}, fmt.Errorf("look up %s: %w", name, errNoAddress)
	}
	return found.addrs[0], nil
}

var (
	errNoSuchName = errors.New("the cluster has no such name")
	errNoAddress  = errors.New("the name has no address")
)
