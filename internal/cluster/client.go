package cluster

import (
	"net"
	"net/http"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/m3o/platform/internal/fault"
)

// How we treat an API server: enough for a whole region in one go, never a flood, and no call that hangs.
const (
	callsPerSecond = 100
	callBurst      = 300
	callTimeout    = 30 * time.Second
	dialTimeout    = 10 * time.Second
	idleTimeout    = 90 * time.Second
)

// maxKubeconfig bounds what is read as a kubeconfig.
const maxKubeconfig = 1 << 20

// Client works in one cluster. It is safe for concurrent use and holds nothing that must be closed.
type Client struct {
	dynamic dynamic.Interface
	typed   kubernetes.Interface
	server  *clientcmdapi.Cluster // how it is reached, without credentials
}

// Connect makes a client from a kubeconfig that carries its credentials itself. One that names programs or files is
// refused: it comes from a cloud's answer, and must not run or read anything here. Every call goes through what carry makes of
// the transport that knows the credentials; nil leaves it as it is. Nothing is sent yet.
func Connect(kubeconfig []byte, carry func(http.RoundTripper) http.RoundTripper) (*Client, error) {
	config, server, err := readKubeconfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = callsPerSecond, callBurst
	config.UserAgent = manager
	config.WarningHandler = rest.NoWarnings{}
	transport, err := newTransport(config)
	if err != nil {
		return nil, err
	}
	if carry != nil {
		transport = carry(transport)
	}
	caller := &http.Client{Transport: transport, Timeout: callTimeout}
	dynamicClient, err := dynamic.NewForConfigAndClient(config, caller)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the kubeconfig does not describe a cluster we can call")
	}
	typedClient, err := kubernetes.NewForConfigAndClient(config, caller)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the kubeconfig does not describe a cluster we can call")
	}
	return &Client{dynamic: dynamicClient, typed: typedClient, server: server}, nil
}

// readKubeconfig never repeats what the parser says: its errors may quote the file.
func readKubeconfig(data []byte) (*rest.Config, *clientcmdapi.Cluster, error) {
	if len(data) > maxKubeconfig {
		return nil, nil, fault.New(fault.Invalid, "the kubeconfig has %d bytes; at most %d are read", len(data), maxKubeconfig)
	}
	file, err := clientcmd.Load(data)
	if err != nil {
		return nil, nil, fault.New(fault.Invalid, "the kubeconfig is not one: it cannot be parsed")
	}
	if reason := outward(file); reason != "" {
		return nil, nil, fault.New(fault.Invalid, "the kubeconfig %s; only one that carries its credentials itself is used", reason)
	}
	config, err := clientcmd.NewDefaultClientConfig(*file, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil || file.Contexts[file.CurrentContext] == nil {
		return nil, nil, fault.New(fault.Invalid, "the kubeconfig is not complete: it needs a current context with a cluster and a user")
	}
	return config, bare(file.Clusters[file.Contexts[file.CurrentContext].Cluster]), nil
}

// bare is how a cluster is reached: no more of it than anybody may know.
func bare(c *clientcmdapi.Cluster) *clientcmdapi.Cluster {
	if c == nil {
		return nil
	}
	return &clientcmdapi.Cluster{Server: c.Server, TLSServerName: c.TLSServerName, CertificateAuthorityData: c.CertificateAuthorityData,
		InsecureSkipTLSVerify: c.InsecureSkipTLSVerify, DisableCompression: c.DisableCompression}
}

// outward says what in the file points outside of it, or "".
func outward(file *clientcmdapi.Config) string {
	for _, user := range file.AuthInfos {
		switch {
		case user.Exec != nil:
			return "runs a program for its credentials"
		case user.AuthProvider != nil:
			return "asks a provider's plugin for its credentials"
		case user.TokenFile != "" || user.ClientCertificate != "" || user.ClientKey != "":
			return "names files for its credentials"
		}
	}
	for _, server := range file.Clusters {
		if server.CertificateAuthority != "" {
			return "names a file for the cluster's authority"
		}
	}
	return ""
}

// newTransport is our own instead of client-go's, which keeps one per credential for the life of the process.
func newTransport(config *rest.Config) (http.RoundTripper, error) {
	tlsConfig, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the kubeconfig's certificates cannot be used")
	}
	base := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: dialTimeout,
		IdleConnTimeout:     idleTimeout,
		ForceAttemptHTTP2:   true,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: dialTimeout, PingTimeout: dialTimeout},
	}
	if config.Proxy != nil {
		base.Proxy = config.Proxy
	}
	wrapped, err := rest.HTTPWrappersForConfig(config, base)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the kubeconfig's credentials cannot be used together")
	}
	return wrapped, nil
}
