package node

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	kubeletapp "k8s.io/kubernetes/cmd/kubelet/app"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	"k8s.io/kubernetes/pkg/kubelet"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
	"k8s.io/kubernetes/pkg/kubelet/cadvisor"

	"github.com/m3o/platform/internal/kube/addresses"
)

const (
	// leaseSeconds makes the kubelet renew its lease every four seconds.
	leaseSeconds     = 16
	heartbeatTimeout = 10 * time.Second
	parallelPulls    = 4
	// unusedImageAge is how long an image that no container uses is kept: every
	// deploy leaves one.
	unusedImageAge = 24 * time.Hour
	// volumeMeasuring is how often a pod's volumes are measured. Every ten seconds
	// the kubelet evicts the pods whose volumes were too large.
	volumeMeasuring = 10 * time.Second
)

// kubeletFeatures makes the kubelet accept that it may not change the kernel's
// settings.
var kubeletFeatures = map[string]bool{"KubeletInUserNamespace": true}

// runKubelet runs the real kubelet over the runtime at endpoint until ctx ends.
func runKubelet(ctx context.Context, config Config, endpoint string) error {
	// The kubelet's defaults depend on the version.
	if err := emulate(config.Version); err != nil {
		return err
	}
	server, err := kubeletServer(config, endpoint)
	if err != nil {
		return err
	}
	dependencies, err := kubeletDependencies(ctx, config, server)
	if err != nil {
		return err
	}
	if err := kubeletapp.Run(ctx, server, dependencies, utilfeature.DefaultFeatureGate); err != nil {
		return fmt.Errorf("the kubelet: %w", err)
	}
	if ctx.Err() == nil {
		return errors.New("the kubelet ended by itself")
	}
	return nil
}

// emulate gives this process the features that a kubelet of version has, and lets
// it report that version: a kubelet may not be newer than its API server.
func emulate(wanted string) error {
	parsed, err := version.ParseSemantic(wanted)
	if err != nil {
		return fmt.Errorf("the version to emulate: %w", err)
	}
	minor := version.MajorMinor(parsed.Major(), parsed.Minor())
	if err := utilfeature.DefaultMutableFeatureGate.SetEmulationVersion(minor); err != nil {
		return fmt.Errorf("emulate a kubelet of %s: %w", wanted, err)
	}
	report(wanted)
	if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(kubeletFeatures); err != nil {
		return fmt.Errorf("set the kubelet's feature gates: %w", err)
	}
	return nil
}

func kubeletServer(config Config, endpoint string) (*options.KubeletServer, error) {
	settings, err := options.NewKubeletConfiguration()
	if err != nil {
		return nil, fmt.Errorf("the kubelet's defaults: %w", err)
	}
	flags := options.NewKubeletFlags()
	flags.HostnameOverride = config.Name
	flags.NodeIP = config.Address().String()
	flags.NodeLabels = config.Labels
	flags.RootDirectory = kubeletDir
	flags.CertDirectory = filepath.Join(config.Dir, "pki")
	// Without a name of a kubeconfig the kubelet would do without an API server;
	// its clients are made in kubeletDependencies.
	flags.KubeConfig = File(config.Dir)
	applyIdentity(settings, config)
	applyRuntime(settings, config, endpoint)
	applySandbox(settings)
	if settings.MaxOpenFiles, err = openFileLimit(); err != nil {
		return nil, err
	}
	return &options.KubeletServer{KubeletFlags: *flags, KubeletConfiguration: *settings}, nil
}

// applyIdentity says who may speak to the kubelet: who the cluster's authority or
// its API server knows, and who RBAC lets.
func applyIdentity(settings *kubeletconfig.KubeletConfiguration, config Config) {
	settings.Address = "0.0.0.0"
	settings.Port = KubeletPort
	settings.ReadOnlyPort = 0
	settings.HealthzPort = 0
	settings.TLSCertFile = config.ServerCert()
	settings.TLSPrivateKeyFile = config.ServerKey()
	settings.Authentication.Anonymous.Enabled = false
	settings.Authentication.Webhook.Enabled = true
	settings.Authentication.X509.ClientCAFile = config.AuthorityCert()
	settings.Authorization.Mode = kubeletconfig.KubeletAuthorizationModeWebhook
	settings.NodeLeaseDurationSeconds = leaseSeconds
	settings.NodeStatusUpdateFrequency = metav1.Duration{Duration: heartbeatTimeout}
}

func applyRuntime(settings *kubeletconfig.KubeletConfiguration, config Config, endpoint string) {
	settings.ContainerRuntimeEndpoint = endpoint
	settings.PodLogsDir = logsDir
	settings.VolumePluginDir = pluginsDir
	settings.ResolverConfig = config.resolver()
	settings.ClusterDNS = []string{addresses.DNSService.String()}
	settings.ClusterDomain = addresses.ClusterDomain
	settings.SerializeImagePulls = false
	pulls := int32(parallelPulls)
	settings.MaxParallelImagePulls = &pulls
}

// applySandbox turns off what an unprivileged process cannot do (cgroups, kernel
// settings, packet filters), and what would make the developer's own full disk
// evict pods.
func applySandbox(settings *kubeletconfig.KubeletConfiguration) {
	settings.FeatureGates = kubeletFeatures
	settings.FailCgroupV1 = false
	settings.CgroupDriver = "cgroupfs"
	settings.CgroupsPerQOS = false
	settings.EnforceNodeAllocatable = nil
	settings.MakeIPTablesUtilChains = false
	settings.FailSwapOn = false
	settings.EvictionHard = nil
	// A pod that fills its volumes beyond their limits is evicted all the same.
	settings.LocalStorageCapacityIsolation = true
	settings.VolumeStatsAggPeriod = metav1.Duration{Duration: volumeMeasuring}
	// Images go by their age. With 100 percent alone the kubelet would collect none.
	settings.ImageGCHighThresholdPercent = 100
	settings.ImageMaximumGCAge = metav1.Duration{Duration: unusedImageAge}
}

// openFileLimit is what the kubelet may ask for without privileges.
func openFileLimit() (int64, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("read the limit of open files: %w", err)
	}
	return int64(min(limit.Max, math.MaxInt32)), nil
}

func kubeletDependencies(ctx context.Context, config Config, server *options.KubeletServer) (*kubelet.Dependencies, error) {
	dependencies, err := kubeletapp.UnsecuredDependencies(ctx, server, utilfeature.DefaultFeatureGate)
	if err != nil {
		return nil, fmt.Errorf("prepare the kubelet: %w", err)
	}
	dependencies.VolumePlugins = keepOwner(dependencies.VolumePlugins)
	if err := setClients(dependencies, config); err != nil {
		return nil, err
	}
	provider := cadvisor.NewImageFsInfoProvider(server.ContainerRuntimeEndpoint)
	real, err := cadvisor.New(klog.FromContext(ctx), provider, server.RootDirectory, nil, false, false, true)
	if err != nil {
		return nil, fmt.Errorf("prepare the kubelet: %w", err)
	}
	dependencies.CAdvisorInterface = machine{
		Interface: real, cores: config.CPU, memory: uint64(config.MemoryMiB) << 20,
		root: kubeletDir, images: config.runtimeDir(),
	}
	return dependencies, nil
}

// setClients gives the kubelet its clients for the API server, which it reaches
// through a socket of the cluster and not over the pods' network.
func setClients(dependencies *kubelet.Dependencies, config Config) error {
	base := clientConfig(config)
	heartbeat := rest.CopyConfig(base)
	heartbeat.Timeout = heartbeatTimeout
	heartbeat.QPS = -1
	client, err := kubernetes.NewForConfig(base)
	if err != nil {
		return fmt.Errorf("the kubelet's client: %w", err)
	}
	heartbeats, err := kubernetes.NewForConfig(heartbeat)
	if err != nil {
		return fmt.Errorf("the kubelet's client: %w", err)
	}
	dependencies.KubeClient = client
	dependencies.EventClient = client.CoreV1()
	dependencies.HeartbeatClient = heartbeats
	dependencies.OnHeartbeatFailure = func() {}
	return nil
}

func clientConfig(config Config) *rest.Config {
	socket := filepath.Join(config.SocketDir, APISocket)
	return &rest.Config{
		Host: config.APIServer,
		TLSClientConfig: rest.TLSClientConfig{
			CAFile: config.AuthorityCert(), CertFile: config.ClientCert(), KeyFile: config.ClientKey(),
		},
		ContentConfig: rest.ContentConfig{ContentType: "application/vnd.kubernetes.protobuf"},
		QPS:           50,
		Burst:         100,
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", socket)
		},
	}
}
