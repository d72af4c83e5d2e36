package gcp

//lint:file-ignore SA1019 Fields that are deprecated are still what stock clients send and read.

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"cloud.google.com/go/container/apiv1/containerpb"

	"github.com/m3o/platform/internal/sandbox/world"
)

// onCluster commits a change of a running cluster that takes a while, and answers with its operation.
func (r *request) onCluster(kind containerpb.Operation_Type, takes time.Duration, change func(*world.Tx, *family, *operation) error) (any, error) {
	var told *containerpb.Operation
	err := r.Commit(func(tx *world.Tx) error {
		f, err := r.idleFamily(tx)
		if err != nil {
			return err
		}
		o, err := r.clusterOperation(tx, f, kind, takes)
		if err != nil {
			return err
		}
		f.cluster.State, f.cluster.Operation = stateReconciling, o.Name
		if err := change(tx, f, &o); err != nil {
			return err
		}
		told = o.container(r.At)
		effect := r.Effect(world.Updated, kindCluster, f.cluster.ID, f.cluster.Name)
		effect.State, effect.Tags = strings.ToLower(f.cluster.State), labelTags(f.cluster.Doc.M.ResourceLabels)
		return errors.Join(putOperation(tx, o), putCluster(tx, f.cluster), tx.Record(effect))
	})
	return told, err
}

// pend has the cluster become the document when the operation ends.
func (o *operation) pend(m *containerpb.Cluster) (err error) {
	o.Pending, err = asDocument(message[*containerpb.Cluster]{m})
	return err
}

// updateCluster changes one thing of a cluster, as there.
func updateCluster(r *request) (any, error) {
	var asked containerpb.UpdateClusterRequest
	if err := r.decodeProto(&asked); err != nil {
		return nil, err
	}
	wants := desired(asked.Update)
	if len(wants) != 1 {
		return nil, invalid("Must specify exactly one update. %d were given: %s.", len(wants), strings.Join(wants, ", "))
	}
	if version := asked.Update.DesiredMasterVersion; version != "" {
		return r.upgrade(version)
	}
	return r.onCluster(containerpb.Operation_UPDATE_CLUSTER, clusterUpdate, func(_ *world.Tx, f *family, o *operation) error {
		m := proto.CloneOf(f.cluster.Doc.M)
		if err := apply(m, asked.Update, wants[0]); err != nil {
			return err
		}
		return o.pend(m)
	})
}

// desired lists the fields of an update that are set.
func desired(update *containerpb.ClusterUpdate) []string {
	var names []string
	if update == nil {
		return nil
	}
	update.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if field.Name() != "etag" {
			names = append(names, string(field.Name()))
		}
		return true
	})
	slices.Sort(names)
	return names
}

// apply changes the document of a cluster. What the sandbox cannot change is refused, not ignored.
func apply(m *containerpb.Cluster, u *containerpb.ClusterUpdate, what string) error {
	switch what {
	case "desired_master_authorized_networks_config":
		return applyAuthorized(m, u.DesiredMasterAuthorizedNetworksConfig)
	case "desired_control_plane_endpoints_config":
		by := u.DesiredControlPlaneEndpointsConfig.GetIpEndpointsConfig()
		if by == nil {
			return invalid("The sandbox's clusters have only IP endpoints: set ip_endpoints_config.")
		}
		have := m.ControlPlaneEndpointsConfig.IpEndpointsConfig
		for _, flag := range []struct{ sent, kept **bool }{{&by.Enabled, &have.Enabled}, {&by.EnablePublicEndpoint, &have.EnablePublicEndpoint},
			{&by.GlobalAccess, &have.GlobalAccess}} {
			if *flag.sent != nil {
				*flag.kept = *flag.sent
			}
		}
		if by.AuthorizedNetworksConfig != nil {
			return applyAuthorized(m, by.AuthorizedNetworksConfig)
		}
	case "desired_release_channel":
		m.ReleaseChannel = u.DesiredReleaseChannel
	case "desired_addons_config":
		proto.Merge(m.AddonsConfig, u.DesiredAddonsConfig)
	case "desired_logging_config":
		m.LoggingConfig = u.DesiredLoggingConfig
	case "desired_monitoring_config":
		m.MonitoringConfig = u.DesiredMonitoringConfig
	case "desired_workload_identity_config":
		m.WorkloadIdentityConfig = u.DesiredWorkloadIdentityConfig
	case "desired_shielded_nodes":
		m.ShieldedNodes = u.DesiredShieldedNodes
	default:
		return invalid("The sandbox cannot change %s.", what)
	}
	return nil
}

func applyAuthorized(m *containerpb.Cluster, config *containerpb.MasterAuthorizedNetworksConfig) error {
	if err := checkAuthorized(config); err != nil {
		return err
	}
	m.MasterAuthorizedNetworksConfig = config
	m.ControlPlaneEndpointsConfig.IpEndpointsConfig.AuthorizedNetworksConfig = proto.CloneOf(config)
	return nil
}

func setResourceLabels(r *request) (any, error) {
	var asked containerpb.SetLabelsRequest
	if err := r.decodeProto(&asked); err != nil {
		return nil, err
	}
	for key, value := range asked.ResourceLabels {
		if err := checkLabel("resource_labels", key, value); err != nil {
			return nil, err
		}
	}
	return r.onCluster(containerpb.Operation_SET_LABELS, clusterUpdate, func(_ *world.Tx, f *family, o *operation) error {
		if sent, has := asked.LabelFingerprint, hex8(fmt.Sprint(f.cluster.Doc.M.ResourceLabels)); sent != has {
			return precondition("Labels could not be set due to fingerprint mismatch.")
		}
		m := proto.CloneOf(f.cluster.Doc.M)
		m.ResourceLabels = maps.Clone(asked.ResourceLabels)
		return o.pend(m)
	})
}

func updateMaster(r *request) (any, error) {
	var asked containerpb.UpdateMasterRequest
	if err := r.decodeProto(&asked); err != nil {
		return nil, err
	}
	return r.upgrade(asked.MasterVersion)
}

// upgrade gives the control plane another version, one minor up at most.
func (r *request) upgrade(version string) (any, error) {
	return r.onCluster(containerpb.Operation_UPGRADE_MASTER, clusterUpgrade, func(_ *world.Tx, f *family, _ *operation) error {
		offered := r.cloud.upgradesFrom(f.cluster.Version)
		target := ""
		if len(offered) > 0 && version != "-" && version != "" {
			target, _ = resolveVersion(version, offered)
		} else if len(offered) > 0 {
			target = gkeVersion(offered[0])
		}
		if target == "" {
			return invalid("Master version %q is unsupported: the cluster has %s, and can be upgraded to one of [%s].", version, f.cluster.Version, strings.Join(offered, ", "))
		}
		f.cluster.Target = target
		return nil
	})
}

// upgradesFrom lists where a cluster can go: one minor version up.
func (c *Cloud) upgradesFrom(version string) []string {
	current := minorNumber(minorOf(version))
	return slices.DeleteFunc(slices.Clone(c.Versions), func(minor string) bool { return minorNumber(minor) != current+1 })
}

// minorNumber is the 34 of "1.34", for comparisons; -1 if it is no such thing.
func minorNumber(minor string) int {
	var major, number int
	if n, err := fmt.Sscanf(minor, "%d.%d", &major, &number); err != nil || n != 2 || major != 1 {
		return -1
	}
	return number
}

func getServerConfig(r *request) (any, error) {
	if _, err := r.location(); err != nil {
		return nil, err
	}
	offered := r.cloud.Versions
	answer := &containerpb.ServerConfig{DefaultClusterVersion: gkeVersion(defaultVersion(offered)), DefaultImageType: "COS_CONTAINERD",
		ValidImageTypes: []string{"COS_CONTAINERD", "UBUNTU_CONTAINERD"}}
	for _, minor := range offered {
		answer.ValidMasterVersions = append(answer.ValidMasterVersions, gkeVersion(minor))
	}
	answer.ValidNodeVersions = answer.ValidMasterVersions
	for _, channel := range []containerpb.ReleaseChannel_Channel{containerpb.ReleaseChannel_RAPID, containerpb.ReleaseChannel_REGULAR,
		containerpb.ReleaseChannel_STABLE, containerpb.ReleaseChannel_EXTENDED} {
		minors, standard := channelVersions(channel.String(), offered)
		one := &containerpb.ServerConfig_ReleaseChannelConfig{Channel: channel, DefaultVersion: gkeVersion(standard)}
		for _, minor := range minors {
			one.ValidVersions = append(one.ValidVersions, gkeVersion(minor))
		}
		answer.Channels = append(answer.Channels, one)
	}
	return answer, nil
}
