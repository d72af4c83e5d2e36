package controlplane

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
	apimachineryversion "k8s.io/apimachinery/pkg/version"
	apiservercompatibility "k8s.io/apiserver/pkg/util/compatibility"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/compatibility"
	baseversion "k8s.io/component-base/version"
)

// emulatedMinors is how many minor versions before its own Kubernetes can
// emulate: kube-apiserver refuses an --emulated-version further back.
const emulatedMinors = 3

// BinaryVersion is the version of the Kubernetes linked in, as "v1.37.2".
func BinaryVersion() string { return baseversion.Get().GitVersion }

// EmulatedVersions lists the versions a cluster can be made with, newest first.
func EmulatedVersions() []string {
	binary := binaryVersion()
	versions := make([]string, 0, emulatedMinors+1)
	for back := range uint(emulatedMinors + 1) {
		v := binary.SubtractMinor(back)
		versions = append(versions, fmt.Sprintf("%d.%d", v.Major(), v.Minor()))
	}
	return versions
}

// CheckVersion says whether a cluster can be made with version.
func CheckVersion(wanted string) error {
	offered := EmulatedVersions()
	if slices.Contains(offered, wanted) {
		return nil
	}
	return fmt.Errorf("version %q cannot be emulated by Kubernetes %s: use one of %s",
		wanted, BinaryVersion(), strings.Join(offered, ", "))
}

// PresentedVersion is the version that a cluster made with wanted reports.
func PresentedVersion(wanted string) string {
	if own := BinaryVersion(); strings.HasPrefix(own, "v"+wanted+".") {
		return own
	}
	return "v" + wanted + ".0"
}

func binaryVersion() *version.Version {
	parsed, err := version.Parse(BinaryVersion())
	if err != nil || parsed.Major() == 0 {
		return version.MustParse(baseversion.DefaultKubeBinaryVersion)
	}
	return parsed
}

// presented is an effective version that answers /version as a server of the
// emulated version would, so that clients choose what they would choose there.
type presented struct {
	compatibility.MutableEffectiveVersion
	version string
}

// Info returns what /version serves.
func (p presented) Info() *apimachineryversion.Info {
	info := p.MutableEffectiveVersion.Info()
	if info == nil {
		return nil
	}
	emulated := version.MustParse(p.version)
	info.GitVersion = p.version
	info.Major, info.Minor = version.Itoa(emulated.Major()), version.Itoa(emulated.Minor())
	return info
}

// emulate makes wanted the version of every component in this process. They
// share one registry, because much of Kubernetes reads the process' default
// feature gate instead of the registry it was given.
func emulate(wanted string) (compatibility.ComponentGlobalsRegistry, error) {
	if err := CheckVersion(wanted); err != nil {
		return nil, err
	}
	effective := apiservercompatibility.DefaultBuildEffectiveVersion()
	effective.SetEmulationVersion(version.MustParse(wanted))
	registry := apiservercompatibility.DefaultComponentGlobalsRegistry
	registry.Reset()
	err := registry.Register(compatibility.DefaultKubeComponent,
		presented{MutableEffectiveVersion: effective, version: PresentedVersion(wanted)}, utilfeature.DefaultMutableFeatureGate)
	if err != nil {
		return nil, fmt.Errorf("emulate Kubernetes %s: %w", wanted, err)
	}
	if err := registry.Set(); err != nil {
		return nil, fmt.Errorf("emulate Kubernetes %s: %w", wanted, err)
	}
	return registry, nil
}
