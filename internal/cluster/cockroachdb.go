package cluster

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/m3o/platform/internal/region"
)

const (
	cockroachHTTPPort = 8080
	cockroachMembers  = 3 // fewer cannot lose one
	cockroachStorage  = "50Gi"
	cockroachDataPath = "/cockroach/cockroach-data"
	cockroachCerts    = "/cockroach/cockroach-certs"
)

// cockroach is the region's database: three nodes that speak TLS alone, with certificates of an authority of their own.
// It has no liveness probe, as its makers advise: a database that is slow must not be killed for it.
func cockroach(spec region.Spec, in Parts, found survey) []object {
	ready := asks("/health?ready=1", "http", 5, 3)
	ready.HTTPGet.Scheme = corev1.URISchemeHTTPS
	container := corev1.Container{
		Name: "cockroachdb", Image: in.Images[region.CockroachDB], Command: []string{programs[region.CockroachDB]}, Args: cockroachFlags(),
		Env:            []corev1.EnvVar{fromPod("POD_NAME", "metadata.name"), {Name: "COCKROACH_CHANNEL", Value: "kubernetes-secure"}},
		Ports:          []corev1.ContainerPort{port("sql", cockroachPort), port("http", cockroachHTTPPort)},
		Resources:      size("500m", "1Gi", "4", "4Gi"),
		VolumeMounts:   []corev1.VolumeMount{{Name: "certificates", MountPath: cockroachCerts, ReadOnly: true}},
		ReadinessProbe: ready,
	}
	return quorum{
		part: region.CockroachDB, spec: spec, members: cockroachMembers, storage: cockroachStorage, dataPath: cockroachDataPath,
		graceTime: 300, // a node hands its leases over before it ends
		serves:    open("sql", cockroachPort), peers: []corev1.ServicePort{open("http", cockroachHTTPPort)}, config: found.authority,
		pod: corev1.PodSpec{Containers: []corev1.Container{container}, Volumes: []corev1.Volume{fromSecret("certificates", nodeSecret)}},
	}.objects()
}

func cockroachFlags() []string {
	return []string{
		"start",
		"--certs-dir=" + cockroachCerts,
		"--store=path=" + cockroachDataPath,
		fmt.Sprintf("--advertise-addr=%s:%d", memberName(region.CockroachDB, "$(POD_NAME)"), cockroachPort),
		fmt.Sprintf("--listen-addr=:%d", cockroachPort),
		fmt.Sprintf("--http-addr=:%d", cockroachHTTPPort),
		"--join=" + eachMember(region.CockroachDB, cockroachMembers, func(pod string) string {
			return fmt.Sprintf("%s:%d", memberName(region.CockroachDB, pod), cockroachPort)
		}),
		"--cache=.25",
		"--max-sql-memory=.25",
		"--log=sinks: {stderr: {filter: INFO}}",
	}
}

// initialise asks the first node to make a cluster of the three, and takes "it is one" for an answer.
const initialise = `answer=$(%s init --certs-dir=%s --host=%s:%d 2>&1) && exit 0
case "$answer" in *"already been initialized"*) exit 0 ;; esac
echo "$answer" >&2
exit 1`

// cockroachInit is the job that makes one cluster of the nodes, once in its life. It tries until they are up.
func cockroachInit(spec region.Spec, in Parts) *batchv1.Job {
	name, labels := "cockroachdb-init", partLabels(spec.Key(), region.CockroachDB, string(region.CockroachDB))
	script := fmt.Sprintf(initialise, programs[region.CockroachDB], cockroachCerts,
		memberName(region.CockroachDB, string(region.CockroachDB)+"-0"), cockroachPort)
	pod := restricted(corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyOnFailure,
		Containers: []corev1.Container{{Name: "init", Image: in.Images[region.CockroachDB], Command: []string{"/bin/bash", "-c", script},
			Resources:    size("50m", "128Mi", "1", "512Mi"),
			VolumeMounts: []corev1.VolumeMount{{Name: "certificates", MountPath: cockroachCerts, ReadOnly: true}}}},
		Volumes: []corev1.Volume{fromSecret("certificates", rootSecret)},
	})
	return &batchv1.Job{ObjectMeta: meta(ResourceNamespace, name, labels), Spec: batchv1.JobSpec{
		BackoffLimit: new(int32(100)), Template: corev1.PodTemplateSpec{ObjectMeta: meta("", "", labels), Spec: pod}}}
}
