package cluster

import (
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/m3o/platform/internal/region"
)

// quorum is what the stateful parts have in common.
type quorum struct {
	part      region.Part
	spec      region.Spec
	members   int32
	storage   string // never change one: StatefulSets refuse
	serves    corev1.ServicePort
	peers     []corev1.ServicePort
	pod       corev1.PodSpec
	config    string // fingerprint of what pods read at their start
	dataPath  string
	graceTime int64
}

func (q quorum) name() string              { return string(q.part) }
func (q quorum) labels() map[string]string { return partLabels(q.spec.Key(), q.part, q.name()) }
func (q quorum) selector() map[string]string {
	return map[string]string{LabelPart: q.name(), LabelRole: "member"}
}

// membersService is the headless Service that gives every member a name before it is ready.
func membersService(part region.Part) string { return string(part) + "-members" }

// memberName is the name under which the n-th member is found. podName may be a variable of the pod.
func memberName(part region.Part, podName string) string {
	return podName + "." + membersService(part) + "." + ResourceNamespace + ".svc"
}

// eachMember joins what write makes of every member's pod name.
func eachMember(part region.Part, members int32, write func(pod string) string) string {
	list := make([]string, members)
	for i := range list {
		list[i] = write(string(part) + "-" + strconv.Itoa(i))
	}
	return strings.Join(list, ",")
}

func (q quorum) objects() []object {
	budget := oneAtATime(meta(ResourceNamespace, q.name(), q.labels()), q.selector())
	return []object{q.clientService(), q.peerService(), budget, q.statefulSet()}
}

func (q quorum) clientService() *corev1.Service {
	return &corev1.Service{ObjectMeta: meta(ResourceNamespace, q.name(), q.labels()),
		Spec: corev1.ServiceSpec{Selector: q.selector(), Ports: []corev1.ServicePort{q.serves}}}
}

func (q quorum) peerService() *corev1.Service {
	return &corev1.Service{ObjectMeta: meta(ResourceNamespace, membersService(q.part), q.labels()), Spec: corev1.ServiceSpec{
		ClusterIP: corev1.ClusterIPNone, PublishNotReadyAddresses: true, Selector: q.selector(),
		Ports: append([]corev1.ServicePort{q.serves}, q.peers...)}}
}

func (q quorum) statefulSet() *appsv1.StatefulSet {
	made := map[string]string{AnnotationMembers: strconv.Itoa(int(q.members))}
	object := meta(ResourceNamespace, q.name(), q.labels())
	object.Annotations = made
	pod := restricted(q.pod)
	pod.TopologySpreadConstraints = apart(q.selector())
	pod.TerminationGracePeriodSeconds = new(q.graceTime)
	pod.Containers[0].VolumeMounts = append(pod.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "data", MountPath: q.dataPath})
	return &appsv1.StatefulSet{ObjectMeta: object, Spec: appsv1.StatefulSetSpec{
		Replicas: new(q.members), ServiceName: membersService(q.part), PodManagementPolicy: appsv1.ParallelPodManagement,
		Selector:             &metav1.LabelSelector{MatchLabels: q.selector()},
		RevisionHistoryLimit: new(int32(2)),
		UpdateStrategy:       appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType},
		Template: corev1.PodTemplateSpec{Spec: pod, ObjectMeta: metav1.ObjectMeta{
			Labels: with(q.labels(), q.selector()), Annotations: map[string]string{AnnotationConfig: q.config}}},
		VolumeClaimTemplates: []corev1.PersistentVolumeClaim{volume(q.storage, q.labels(), made)},
	}}
}

// volume is a claim on the cluster's default storage.
func volume(size string, labels, annotations map[string]string) corev1.PersistentVolumeClaim {
	object := meta("", "data", labels)
	object.Annotations = annotations
	return corev1.PersistentVolumeClaim{ObjectMeta: object, Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}}}}
}
