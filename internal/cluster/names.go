package cluster

import (
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// The namespaces of a region's parts.
const (
	ControlNamespace  = "m3o-control"
	ResourceNamespace = "m3o-resource"
	NetworkNamespace  = "m3o-network"
)

// The labels and annotations by which things are found. They are a contract with kubectl's users;
// those of services are release's.
const (
	LabelPart     = "m3o.dev/part"
	LabelPlatform = "m3o.dev/platform"
	LabelRegion   = "m3o.dev/region"
	LabelRole     = "m3o.dev/role" // of a namespace: control, resource, network, project; of a pod: member

	AnnotationMembers = "m3o.dev/members" // how many members a part's data was made for
	AnnotationConfig  = "m3o.dev/config"  // fingerprint of what a pod reads at its start
)

const (
	manager      = "m3o" // our name as a field manager
	labelManager = "app.kubernetes.io/managed-by"
	labelName    = "app.kubernetes.io/name"
)

// gatewayName names the gateway's objects: "api" in the platform file is what users see, the gateway is what runs.
const gatewayName = "gateway"

// whereLabels say which region an object belongs to.
func whereLabels(key region.Key) map[string]string {
	return map[string]string{labelManager: manager, LabelPlatform: key.Platform, LabelRegion: key.Name}
}

// partLabels mark everything a part consists of.
func partLabels(key region.Key, part region.Part, name string) map[string]string {
	return with(whereLabels(key), map[string]string{LabelPart: string(part), labelName: name})
}

// serviceSelector finds a service's pods, whatever their release: a Deployment's selector cannot be changed.
func serviceSelector(key release.Key) map[string]string {
	return map[string]string{release.LabelProject: key.Project, release.LabelService: key.Name}
}

// serviceLabels mark everything a service consists of.
func serviceLabels(key release.Key) map[string]string {
	return with(serviceSelector(key), map[string]string{release.LabelManaged: "true", labelManager: manager, labelName: key.Name})
}

func with(base, more map[string]string) map[string]string {
	all := maps.Clone(base)
	maps.Copy(all, more)
	return all
}

func meta(namespace, name string, labels map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}
}
