package cluster

import (
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/m3o/platform/internal/region"
)

const (
	natsRoutePort   = 6222
	natsMonitorPort = 8222
	natsDataPath    = "/data"
	natsConfigPath  = "/etc/nats"
	natsStorage     = "10Gi"
	natsFileStore   = 9 << 30   // bytes: less than the volume
	natsMemoryStore = 128 << 20 // bytes: less than the container's limit
)

// nats is the region's broker, with JetStream on a volume.
func nats(spec region.Spec, in Parts, found survey) []object {
	members := max(1, found.members[region.NATS])
	config := natsConfig(spec, members)
	container := corev1.Container{
		Name: "nats", Image: in.Images[region.NATS], Command: []string{programs[region.NATS]},
		Args:           []string{"--config=" + natsConfigPath + "/nats.json", "--name=$(POD_NAME)"},
		Env:            []corev1.EnvVar{fromPod("POD_NAME", "metadata.name")},
		Ports:          []corev1.ContainerPort{port("client", natsPort), port("route", natsRoutePort), port("monitor", natsMonitorPort)},
		Resources:      size("50m", "64Mi", "2", "512Mi"),
		VolumeMounts:   []corev1.VolumeMount{{Name: "config", MountPath: natsConfigPath, ReadOnly: true}},
		ReadinessProbe: asks("/healthz?js-server-only=true", "monitor", 2, 3),
		LivenessProbe:  asks("/healthz?js-enabled-only=true", "monitor", 10, 6),
	}
	q := quorum{
		part: region.NATS, spec: spec, members: members, storage: natsStorage, dataPath: natsDataPath, graceTime: 30,
		serves: open("client", natsPort), peers: []corev1.ServicePort{open("route", natsRoutePort), open("monitor", natsMonitorPort)},
		config: fingerprint([]byte(config)),
		pod:    corev1.PodSpec{Containers: []corev1.Container{container}, Volumes: []corev1.Volume{fromConfigMap("config", "nats")}},
	}
	file := &corev1.ConfigMap{ObjectMeta: meta(ResourceNamespace, "nats", q.labels()), Data: map[string]string{"nats.json": config}}
	return append([]object{file}, q.objects()...)
}

// natsConfig is the server's configuration; its format takes JSON as it is.
func natsConfig(spec region.Spec, members int32) string {
	config := map[string]any{
		"port":            natsPort,
		"http":            fmt.Sprintf("0.0.0.0:%d", natsMonitorPort),
		"jetstream":       map[string]any{"store_dir": natsDataPath, "max_file_store": natsFileStore, "max_memory_store": natsMemoryStore},
		"max_connections": 20000,
		"server_tags":     []string{"region:" + spec.Name},
	}
	if members > 1 {
		routes := eachMember(region.NATS, members, func(pod string) string {
			return fmt.Sprintf("nats://%s:%d", memberName(region.NATS, pod), natsRoutePort)
		})
		config["cluster"] = map[string]any{"name": spec.Key().ResourceName(), "listen": fmt.Sprintf("0.0.0.0:%d", natsRoutePort), "routes": strings.Split(routes, ",")}
	}
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		panic(err) // strings, numbers and lists of them always encode
	}
	return string(text)
}

func fromConfigMap(volume, name string) corev1.Volume {
	return corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{
		ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}}}
}
