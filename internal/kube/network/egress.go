package network

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/m3o/platform/internal/kube/network/flow"
)

const (
	// A client has that long and that much for its CONNECT request.
	connectTimeout = 10 * time.Second
	connectBytes   = 16 << 10
)

// ServeEgress is the API server's way to kubelets, pods and Services: an HTTP
// CONNECT proxy into the cluster network, as an EgressSelectorConfiguration
// with proxyProtocol HTTPConnect expects it. It serves until ctx ends or
// the listener is closed, closes the listener and returns when all connections
// have ended.
func (n *Network) ServeEgress(ctx context.Context, listener net.Listener) error {
	return n.accept(ctx, listener, "egress", n.serveConnect)
}

func (n *Network) serveConnect(ctx context.Context, conn net.Conn) {
	client, ok := conn.(flow.Stream)
	if !ok || !n.streams.Take() {
		_ = conn.Close()
		return
	}
	defer n.streams.Release()
	server, err := n.connect(ctx, client)
	if err != nil {
		n.log.Debug("an egress connection failed", "error", err)
		_ = client.Close()
		return
	}
	flow.Splice(ctx, client, server)
}

// connect reads the request, dials and answers. The client must wait for the
// answer before it says more, as the API server does.
func (n *Network) connect(ctx context.Context, client net.Conn) (flow.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = client.SetDeadline(time.Unix(1, 0)) })()
	address, err := readConnect(client)
	if err != nil {
		return nil, errors.Join(err, answer(client, http.StatusBadRequest, err.Error()))
	}
	server, err := n.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, errors.Join(err, answer(client, http.StatusBadGateway, err.Error()))
	}
	if err := answer(client, http.StatusOK, ""); err != nil {
		flow.Abort(server)
		return nil, err
	}
	return server.(flow.Stream), nil
}

// readConnect reads a CONNECT request and returns what it wants to reach.
func readConnect(r io.Reader) (string, error) {
	reader := bufio.NewReader(io.LimitReader(r, connectBytes))
	request, err := http.ReadRequest(reader)
	if err != nil {
		return "", fmt.Errorf("read the CONNECT request: %w", err)
	}
	if request.Method != http.MethodConnect {
		return "", fmt.Errorf("method %q: only CONNECT is served", request.Method)
	}
	if reader.Buffered() > 0 {
		return "", errors.New("the client did not wait for the answer to CONNECT")
	}
	if _, _, err := net.SplitHostPort(request.URL.Host); err != nil {
		return "", fmt.Errorf("CONNECT to %q: %w", request.URL.Host, err)
	}
	return request.URL.Host, nil
}

func answer(w io.Writer, status int, reason string) error {
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	if status != http.StatusOK {
		head += fmt.Sprintf("Content-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n", len(reason))
	}
	if _, err := io.WriteString(w, head+"\r\n"+reason); err != nil {
		return fmt.Errorf("answer the CONNECT request: %w", err)
	}
	return nil
}
