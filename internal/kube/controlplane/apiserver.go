package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd/api"
	cliflag "k8s.io/component-base/cli/flag"
	apiserverapp "k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"

	"github.com/m3o/platform/internal/kube/addresses"
)

const (
	serverStartLimit = 90 * time.Second
	readyPoll        = 25 * time.Millisecond
	// webhookCache is how long an answer of the authenticator is believed: so long
	// does somebody who lost his access still have it.
	webhookCache = 5 * time.Second
)

// egressConfig sends what the API server says to kubelets, pods and services
// into the cluster's network, which only the cluster process can reach.
const egressConfig = `apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection:
    proxyProtocol: HTTPConnect
    transport:
      uds:
        udsName: %s
`

// startServer runs kube-apiserver through its options, not its command: the
// command installs signal handlers of its own.
func (c *ControlPlane) startServer(ctx context.Context, listener net.Listener) error {
	args, err := c.serverArguments()
	if err != nil {
		return err
	}
	server := options.NewServerRunOptions()
	server.GenericServerRunOptions.ComponentGlobalsRegistry = c.registry
	if err := parse("kube-apiserver", server.Flags(), args); err != nil {
		return err
	}
	server.SecureServing.Listener = listener
	server.SecureServing.BindPort = listener.Addr().(*net.TCPAddr).Port
	completed, err := server.Complete(ctx)
	if err != nil {
		return fmt.Errorf("prepare the API server: %w", err)
	}
	if problems := completed.Validate(); len(problems) > 0 {
		return fmt.Errorf("prepare the API server: %w", errors.Join(problems...))
	}
	c.run(ctx, &c.servers, "kube-apiserver", func() error { return apiserverapp.Run(ctx, completed) })
	return nil
}

func (c *ControlPlane) serverArguments() ([]string, error) {
	tokens, err := c.write("tokens.csv", []byte(c.config.Token+`,admin,admin,"system:masters"`+"\n"))
	if err != nil {
		return nil, err
	}
	egress, err := c.write("egress.yaml", fmt.Appendf(nil, egressConfig, c.config.EgressSocket))
	if err != nil {
		return nil, err
	}
	webhook, err := c.webhookArguments()
	if err != nil {
		return nil, err
	}
	return slices.Concat(c.serverCredentials(), webhook, []string{
		"--etcd-servers=" + c.etcdEndpoint(),
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		// The endpoint of the kubernetes service would be a loopback address, which
		// EndpointSlices refuse; the network answers for that service itself.
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=" + addresses.ServiceCIDR.String(),
		"--token-auth-file=" + tokens,
		"--egress-selector-config-file=" + egress,
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--anonymous-auth=true",
		"--allow-privileged=true",
		"--profiling=false",
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://" + addresses.APIName,
		"--watch-cache=true",
		"--shutdown-delay-duration=0s",
	}), nil
}

// webhookArguments have the API server ask the authenticator, if there is one.
func (c *ControlPlane) webhookArguments() ([]string, error) {
	if c.config.Authenticator == "" {
		return nil, nil
	}
	data, err := Kubeconfig("authenticator", c.config.Authenticator, nil, "apiserver", &api.AuthInfo{})
	if err != nil {
		return nil, err
	}
	file, err := c.write("authenticator.kubeconfig", data)
	if err != nil {
		return nil, err
	}
	return []string{
		"--authentication-token-webhook-config-file=" + file,
		"--authentication-token-webhook-version=v1",
		"--authentication-token-webhook-cache-ttl=" + webhookCache.String(),
	}, nil
}

func (c *ControlPlane) serverCredentials() []string {
	return []string{
		"--client-ca-file=" + c.pki.cert("ca"),
		"--tls-cert-file=" + c.pki.cert("apiserver"), "--tls-private-key-file=" + c.pki.key("apiserver"),
		"--kubelet-certificate-authority=" + c.pki.cert("ca"),
		"--kubelet-client-certificate=" + c.pki.cert("kubelet-client"), "--kubelet-client-key=" + c.pki.key("kubelet-client"),
		"--service-account-key-file=" + c.pki.cert("service-account"),
		"--service-account-signing-key-file=" + c.pki.key("service-account"),
		"--requestheader-client-ca-file=" + c.pki.cert("front-proxy-ca"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + c.pki.cert("front-proxy"), "--proxy-client-key-file=" + c.pki.key("front-proxy"),
	}
}

// waitServer returns when /readyz says so, or with what made the server fail.
func (c *ControlPlane) waitServer(ctx context.Context) error {
	client, err := rest.HTTPClientFor(c.admin)
	if err != nil {
		return fmt.Errorf("make a client for the API server: %w", err)
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, serverStartLimit)
	defer cancel()
	for {
		if ready(ctx, client, c.endpoint) {
			return nil
		}
		select {
		case err := <-c.failed:
			return err
		case <-ctx.Done():
			return fmt.Errorf("the API server was not ready in time: %w", ctx.Err())
		case <-time.After(readyPoll):
		}
	}
}

func ready(ctx context.Context, client *http.Client, endpoint string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/readyz", nil)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

// parse sets a component's flags. Each component's own names are kept apart, as
// the components would be on command lines of their own.
func parse(component string, sets cliflag.NamedFlagSets, args []string) error {
	all := pflag.NewFlagSet(component, pflag.ContinueOnError)
	for _, set := range sets.FlagSets {
		all.AddFlagSet(set)
	}
	if err := all.Parse(args); err != nil {
		return fmt.Errorf("%s: %w", component, err)
	}
	return nil
}
