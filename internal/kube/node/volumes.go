package node

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/volume"
)

// ownedVolumes are the plugins that write files for one pod and then give them to
// the pod's user and group.
var ownedVolumes = map[string]bool{
	"kubernetes.io/configmap":    true,
	"kubernetes.io/downward-api": true,
	"kubernetes.io/empty-dir":    true,
	"kubernetes.io/projected":    true,
	"kubernetes.io/secret":       true,
}

// keepOwner makes plugins leave files with their owner. There is only one user
// in a node's namespace, whom every container's user is, whatever the image calls
// it: giving files to another is both refused and not needed.
func keepOwner(plugins []volume.VolumePlugin) []volume.VolumePlugin {
	kept := make([]volume.VolumePlugin, len(plugins))
	for i, plugin := range plugins {
		kept[i] = plugin
		if ownedVolumes[plugin.GetPluginName()] {
			kept[i] = ownerlessPlugin{plugin}
		}
	}
	return kept
}

type ownerlessPlugin struct{ volume.VolumePlugin }

// NewMounter returns the plugin's mounter without its changes of owners.
func (p ownerlessPlugin) NewMounter(spec *volume.Spec, pod *corev1.Pod) (volume.Mounter, error) {
	mounter, err := p.VolumePlugin.NewMounter(spec, pod)
	if err != nil {
		return nil, err
	}
	return ownerlessMounter{mounter}, nil
}

type ownerlessMounter struct{ volume.Mounter }

// SetUp and SetUpAt forget for whom the volume is.
func (m ownerlessMounter) SetUp(args volume.MounterArgs) error {
	return m.Mounter.SetUp(ownerless(args))
}

func (m ownerlessMounter) SetUpAt(dir string, args volume.MounterArgs) error {
	return m.Mounter.SetUpAt(dir, ownerless(args))
}

func ownerless(args volume.MounterArgs) volume.MounterArgs {
	args.FsUser, args.FsGroup = nil, nil
	return args
}
