package region_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/region"
)

// The strictest grammars that a name or a tag meets: Google's of resources and labels, DigitalOcean's of tags.
var (
	resource = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)
	gcpLabel = regexp.MustCompile(`^[a-z0-9][-_a-z0-9]{0,62}$`)
	doTag    = regexp.MustCompile(`^[a-zA-Z0-9_:-]{1,255}$`)
)

var long = strings.Repeat("a", 39) + "b"

func TestNamesFitEveryCloud(t *testing.T) {
	full := region.Key{Platform: long, Name: long}.ResourceName()
	seen := map[string]string{}
	for _, limit := range []int{20, 30, 40, 63, 64, 100} {
		for _, name := range []string{full, full + "-nodes", full + "-cluster", "m3o-micro-lon1", "m3o-micro-" + strings.Repeat("x-", 30) + "x"} {
			cut := region.CutName(limit, name)
			if len(cut) > limit || !resource.MatchString(cut) {
				t.Errorf("%d characters of %s are %q", limit, name, cut)
			}
			if len(name) <= limit && cut != name {
				t.Errorf("%s fits into %d characters and became %s", name, limit, cut)
			}
			if again := region.CutName(limit, name); again != cut {
				t.Errorf("%s is cut to %s, then to %s", name, cut, again)
			}
			if other, taken := seen[cut]; taken && other != name {
				t.Errorf("%s and %s are both cut to %s", name, other, cut)
			}
			seen[cut] = name
		}
	}
	if cut := region.CutName(30, "m3o-micro-europe-west1-production"); !strings.HasPrefix(cut, "m3o-micro-europe-west") {
		t.Errorf("nobody recognises %s", cut)
	}
}

// "a-b" and "c" are not "a" and "b-c".
func TestNoTwoRegionsShareAName(t *testing.T) {
	names := map[string]region.Key{}
	for _, k := range []region.Key{{Platform: "a", Name: "b-c"}, {Platform: "a-b", Name: "c"}, {Platform: "a-b-c", Name: "d"}, {Platform: "a", Name: "b-c-d"}, {Platform: "a-b", Name: "c-d"}} {
		name := k.ResourceName()
		if other, taken := names[name]; taken {
			t.Errorf("%s and %s are both named %s", k, other, name)
		}
		names[name] = k
	}
}

func TestMarksAreReadAsTheyAreWritten(t *testing.T) {
	for _, k := range []region.Key{{Platform: "micro", Name: "lon1"}, {Platform: long, Name: long}} {
		if got, ok := k.Tags().Owner(); !ok || got != k {
			t.Errorf("tags %v are read as %v", k.Tags(), got)
		}
		for _, text := range []string{k.Owner(), k.Owner() + " made by M3O Platform"} {
			if got, ok := region.ParseOwner(text); !ok || got != k {
				t.Errorf("%q is read as %v", text, got)
			}
		}
		for key, value := range k.Tags() {
			if !gcpLabel.MatchString(key) || !gcpLabel.MatchString(value) || !doTag.MatchString(key+":"+value) {
				t.Errorf("tag %s=%s", key, value)
			}
		}
		if !doTag.MatchString(k.Owner()) {
			t.Errorf("mark %s", k.Owner())
		}
	}
}

func TestWhatIsNobodysIsNotRead(t *testing.T) {
	for _, text := range []string{"", "m3o", "m3o:", "m3o:micro", "m3o:micro:", "m3o::lon1", "m3o:micro:lon1:x", "m3o:Micro:lon1", "was m3o:micro:lon1", "m3o:micro:lon1,", "k8s:micro:lon1"} {
		if k, ok := region.ParseOwner(text); ok || region.IsOwner(text) {
			t.Errorf("%q is read as %v", text, k)
		}
	}
	for _, tags := range []region.Tags{nil, {"m3o-platform": "micro", "m3o-region": "lon1"}, {"managed-by": "m3o", "m3o-region": "lon1"}, {"managed-by": "terraform", "m3o-platform": "micro", "m3o-region": "lon1"}} {
		if k, ok := tags.Owner(); ok {
			t.Errorf("%v is read as %v", tags, k)
		}
	}
}

// What may exist fixes where the region is, whether or not the cloud has told an id.
func TestWhatIsBegunFixesARegion(t *testing.T) {
	fields := []string{"provider", "region", "kubernetes.nodes.size"}
	for want, r := range map[int]region.Region{0: {}, 2: {Network: region.Net{Name: "m3o-micro-lon1"}}, 3: {Network: region.Net{ID: "n"}, Cluster: region.Cluster{Name: "m3o-micro-lon1"}}} {
		if got := r.Fixed(fields, region.Spec{}); len(got) != want {
			t.Errorf("of %+v, %+v fixed are %v", r.Network, r.Cluster, got)
		}
	}
}
