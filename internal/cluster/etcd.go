package cluster

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/m3o/platform/internal/region"
)

const (
	etcdPeerPort   = 2380
	etcdHealthPort = 2381
	etcdDataPath   = "/var/lib/etcd"
	etcdStorage    = "8Gi"
	etcdQuota      = 2 << 30 // bytes; etcd stops taking writes beyond it
)

// etcd is the region's registry: where the gateway and services find each other.
func etcd(spec region.Spec, in Parts, found survey) []object {
	members := max(1, found.members[region.Etcd])
	container := corev1.Container{
		Name: "etcd", Image: in.Images[region.Etcd], Command: []string{programs[region.Etcd]}, Args: etcdFlags(spec, members),
		Env:       []corev1.EnvVar{fromPod("POD_NAME", "metadata.name")},
		Ports:     []corev1.ContainerPort{port("client", etcdPort), port("peer", etcdPeerPort), port("health", etcdHealthPort)},
		Resources: size("100m", "128Mi", "2", "1Gi"),
		// A member is alive as long as its process is: restarting one because the others are away would not help.
		ReadinessProbe: asks("/readyz", "health", 2, 3),
		LivenessProbe:  asks("/livez", "health", 10, 6),
	}
	return quorum{
		part: region.Etcd, spec: spec, members: members, storage: etcdStorage, dataPath: etcdDataPath, graceTime: 30,
		serves: open("client", etcdPort), peers: []corev1.ServicePort{open("peer", etcdPeerPort)},
		pod: corev1.PodSpec{Containers: []corev1.Container{container}},
	}.objects()
}

func etcdFlags(spec region.Spec, members int32) []string {
	self := memberName(region.Etcd, "$(POD_NAME)")
	all := eachMember(region.Etcd, members, func(pod string) string {
		return fmt.Sprintf("%s=http://%s:%d", pod, memberName(region.Etcd, pod), etcdPeerPort)
	})
	return []string{
		"--name=$(POD_NAME)",
		"--data-dir=" + etcdDataPath + "/data", // etcd makes it with its own permissions, which a volume's root may not have
		fmt.Sprintf("--listen-client-urls=http://0.0.0.0:%d", etcdPort),
		fmt.Sprintf("--advertise-client-urls=http://%s:%d", self, etcdPort),
		fmt.Sprintf("--listen-peer-urls=http://0.0.0.0:%d", etcdPeerPort),
		fmt.Sprintf("--initial-advertise-peer-urls=http://%s:%d", self, etcdPeerPort),
		fmt.Sprintf("--listen-metrics-urls=http://0.0.0.0:%d", etcdHealthPort),
		"--initial-cluster=" + all,
		"--initial-cluster-state=new",
		"--initial-cluster-token=" + spec.Key().Owner(),
		"--auto-compaction-mode=periodic",
		"--auto-compaction-retention=1h",
		fmt.Sprintf("--quota-backend-bytes=%d", etcdQuota),
	}
}
