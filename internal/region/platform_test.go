package region_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

const small = `platforms:
- name: micro
  domain: micro.mu
  regions:
  - provider: do
    region: lon1
    kubernetes: {version: "1.34", nodes: {count: 3, size: s-2vcpu-4gb}}
    resource: [etcd, nats]
    network: [api]
`

// with is the small file with one thing written otherwise.
func with(t *testing.T, old, written string) string {
	t.Helper()
	if strings.Count(small, old) != 1 {
		t.Fatalf("%q does not stand exactly once in the file", old)
	}
	return strings.Replace(small, old, written, 1)
}

func TestAPlatformFileIsUnderstood(t *testing.T) {
	specs, err := region.ParsePlatform([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	if len(specs) != 1 {
		t.Fatalf("%d regions, want 1", len(specs))
	}
	s := specs[0]
	if s.Provider != region.DigitalOcean {
		t.Errorf("do is understood as %q, want digitalocean", s.Provider)
	}
	if s.Name != "digitalocean-lon1" {
		t.Errorf("a region without a name is called %q, want digitalocean-lon1", s.Name)
	}
	if got := s.Key().OperateID(); got != "region/micro/digitalocean-lon1" {
		t.Errorf("its workflow is %q", got)
	}
	if s.Kubernetes.Nodes.Count != 3 || s.Kubernetes.Version != "1.34" || s.Domain != "micro.mu" || !s.Wants(region.NATS) || s.Wants(region.CockroachDB) {
		t.Errorf("read %+v", s)
	}
}

func TestTheFileOfTheLocalPlatformIsUnderstood(t *testing.T) {
	data, err := os.ReadFile("../../deploy/local/platform.yaml")
	if err != nil {
		t.Fatal(err)
	}
	specs, err := region.ParsePlatform(data)
	if err != nil || len(specs) != len(region.Providers()) {
		t.Fatalf("%d regions, %v", len(specs), err)
	}
}

// A provider has several spellings and one name: editing the spelling is no other region.
func TestAnotherSpellingOfTheProviderChangesNothing(t *testing.T) {
	short, err := region.ParsePlatform([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	long, err := region.ParsePlatform([]byte(with(t, "provider: do", "provider: digitalocean")))
	if err != nil {
		t.Fatal(err)
	}
	if got := lines(region.Compare(long, []region.Region{there(short[0], region.Ready)}, false)); got != "" {
		t.Errorf("the plan is to %s", got)
	}
}

func TestWhatKubernetesIsMayBeLeftOut(t *testing.T) {
	for written, want := range map[string]region.Kubernetes{
		"":                                                   {},
		"    kubernetes: {}\n":                               {},
		"    kubernetes: {version: \"1.34\"}\n":              {Version: "1.34"},
		"    kubernetes: {nodes: {}}\n":                      {},
		"    kubernetes: {nodes: {count: 5}}\n":              {Nodes: region.Nodes{Count: 5}},
		"    kubernetes: {nodes: {size: c-4}}\n":             {Nodes: region.Nodes{Size: "c-4"}},
		"    kubernetes: {nodes: {size: t3.large}}\n":        {Nodes: region.Nodes{Size: "t3.large"}},
		"    kubernetes: {nodes: {size: Standard_D2s_v5}}\n": {Nodes: region.Nodes{Size: "Standard_D2s_v5"}},
	} {
		specs, err := region.ParsePlatform([]byte(with(t, "    kubernetes: {version: \"1.34\", nodes: {count: 3, size: s-2vcpu-4gb}}\n", written)))
		if err != nil || specs[0].Kubernetes != want {
			t.Errorf("%q is read as %+v, %v", written, specs, err)
		}
	}
}

func TestAClusterWithoutEnforcementIsAllowedInWriting(t *testing.T) {
	specs, err := region.ParsePlatform([]byte(small + "    unenforced: allow\n"))
	if err != nil || specs[0].Unenforced != region.Allow {
		t.Errorf("read as %+v, %v", specs, err)
	}
}

func TestAVersionStaysAsItIsWritten(t *testing.T) {
	specs, err := region.ParsePlatform([]byte(with(t, `"1.34"`, "1.30")))
	if err != nil || specs[0].Kubernetes.Version != "1.30" {
		t.Fatalf("1.30 without quotes was read as %+v, %v", specs, err)
	}
}

// What a user gets to read. Each text must name the field, the rule and the value.
func TestBadPlatformFiles(t *testing.T) {
	second := "  - {provider: do, region: lon1, kubernetes: {version: \"1.34\", nodes: {count: 1, size: s}}}\n"
	at := "platforms[0].regions[0]."
	for name, c := range map[string]struct {
		file string
		want []string
	}{
		"unknown provider":             {with(t, "provider: do", "provider: digitalocaen"), []string{at + `provider: "digitalocaen" is not a provider`, `did you mean "digitalocean"?`}},
		"no provider":                  {with(t, "provider: do", "name: x"), []string{at + `provider: "" is not a provider`}},
		"no region":                    {with(t, "    region: lon1\n", ""), []string{at + `region: "" is not the name of a location`}},
		"a region that is none":        {with(t, "region: lon1", "region: LON 1"), []string{at + `region: "LON 1" is not the name of a location`}},
		"field of a platform":          {with(t, "  domain:", "  domian:"), []string{`platforms[0].domian: unknown field (did you mean "domain"?) (line 3)`}},
		"field of a region":            {with(t, "    network:", "    netwrok:"), []string{at + `netwrok: unknown field (did you mean "network"?) (line 9)`}},
		"field of kubernetes":          {with(t, "{version:", "{verison:"), []string{at + `kubernetes.verison: unknown field (did you mean "version"?)`}},
		"field of nodes":               {with(t, "{count:", "{cuont:"), []string{at + `kubernetes.nodes.cuont: unknown field (did you mean "count"?)`}},
		"field at the top":             {strings.Replace(small, "platforms:", "platform:", 1), []string{`platform: unknown field (did you mean "platforms"?) (line 1)`}},
		"field that means nothing":     {with(t, "  domain:", "  colour: red\n  domain:"), []string{"platforms[0].colour: unknown field (line 3)"}},
		"two platforms of one name":    {small + "- {name: micro, domain: micro.mu, regions: []}\n", []string{`platforms[1].name: "micro" names two platforms`, "platforms[1].regions: at least one region"}},
		"two regions of one name":      {small + second, []string{`platforms[0].regions[1].name: "digitalocean-lon1" names two regions`}},
		"a field given twice":          {with(t, "  domain:", "  name: other\n  domain:"), []string{"platforms[0].name: is given twice, first at line 2 (line 3)"}},
		"a field given twice in flow":  {with(t, "{count: 3,", "{count: 3, count: 4,"), []string{at + "kubernetes.nodes.count: is given twice, first at line 7 (line 7)"}},
		"a patch version":              {with(t, "1.34", "1.34.1"), []string{at + `kubernetes.version: "1.34.1" is not a minor version such as "1.34"`}},
		"an impossible version":        {with(t, "1.34", "2.0"), []string{at + `kubernetes.version: "2.0" is not a minor version`}},
		"latest":                       {with(t, "1.34", "latest"), []string{`"latest" is not a minor version`}},
		"no nodes":                     {with(t, "count: 3", "count: 0"), []string{at + "kubernetes.nodes.count: 0 is not between 1 and 512"}},
		"fewer than none":              {with(t, "count: 3", "count: -1"), []string{"-1 is not between 1 and 512"}},
		"half a node":                  {with(t, "count: 3", "count: 1.5"), []string{at + `kubernetes.nodes.count: "1.5" is not a whole number (line 7)`}},
		"a number in words":            {with(t, "count: 3", "count: three"), []string{`"three" is not a whole number`}},
		"more nodes than can be":       {with(t, "count: 3", "count: 99999999999999999999"), []string{`"99999999999999999999" is not a whole number`}},
		"a size that says nothing":     {with(t, "s-2vcpu-4gb", `""`), []string{at + `kubernetes.nodes.size: "" is not the name of a node size`}},
		"a size with blanks":           {with(t, "s-2vcpu-4gb", `"2 vcpus"`), []string{at + `kubernetes.nodes.size: "2 vcpus" is not the name of a node size`}},
		"a version that says nothing":  {with(t, `"1.34"`, `""`), []string{at + `kubernetes.version: "" is not a minor version`}},
		"enforcement":                  {small + "    unenforced: deny\n", []string{at + `unenforced: "deny" is not "allow", the only choice there is`}},
		"gslb":                         {with(t, "  regions:", "  gslb: cloudflare\n  regions:"), []string{`platforms[0].gslb: this version cannot run "cloudflare"; leave it out`}},
		"kv":                           {with(t, "  regions:", "  kv: cloudflare\n  regions:"), []string{`platforms[0].kv: this version cannot run "cloudflare"; leave it out`}},
		"control parts":                {with(t, "    network:", "    control: [control-api, web]\n    network:"), []string{at + `control[0]: this version cannot run "control-api" here; leave the list out`, at + `control[1]: this version cannot run "web" here`}},
		"the gateway as control part":  {with(t, "    network:", "    control: [api]\n    network:"), []string{at + `control[0]: "api" belongs in network; the parts of control are "control-api", "web"`}},
		"a control part as entrypoint": {with(t, "[api]", "[control-api]"), []string{at + `network[0]: "control-api" belongs in control; the parts of network are "api", "network"`}},
		"an entrypoint to come":        {with(t, "[api]", "[api, network]"), []string{at + `network[1]: this version cannot run "network" here; it can run "api"`}},
		"a resource there is not":      {with(t, "[etcd, nats]", "[etcd, redis]"), []string{at + `resource[1]: "redis" is not a part; the parts of resource are "etcd", "nats", "cockroachdb"`}},
		"a resource mistyped":          {with(t, "[etcd, nats]", "[etcd, nasts]"), []string{`did you mean "nats"?`}},
		"a resource twice":             {with(t, "[etcd, nats]", "[etcd, etcd]"), []string{at + `resource[1]: "etcd" is listed twice`}},
		"a gateway without a registry": {with(t, "[etcd, nats]", "[nats]"), []string{at + `network: "api" needs "etcd" in resource`}},
		"a name with capitals":         {with(t, "name: micro", "name: Micro"), []string{`platforms[0].name: "Micro" must be a DNS label`}},
		"a name with dots":             {with(t, "provider: do", "name: a.b\n    provider: do"), []string{at + `name: "a.b" must be a DNS label`}},
		"a name that ends in a hyphen": {with(t, "provider: do", "name: a-\n    provider: do"), []string{`"a-" must be a DNS label`}},
		"a name too long":              {with(t, "provider: do", "name: "+strings.Repeat("a", 41)+"\n    provider: do"), []string{"at most 40 characters"}},
		"a name with a line break":     {with(t, "provider: do", `name: "lon1\n"`+"\n    provider: do"), []string{`"lon1\n" must be a DNS label`}},
		"a domain that is none":        {with(t, "micro.mu", "micro"), []string{`platforms[0].domain: "micro" is not a domain name`}},
		"a value without end":          {with(t, "micro.mu", strings.Repeat("a", 5000)), []string{"platforms[0].domain:", "has 5000 characters; at most 253"}},
		"a list for a word":            {with(t, "name: micro", "name: [micro]"), []string{"platforms[0].name: must be a single value, not a list (line 2)"}},
		"a word for a list":            {with(t, "[api]", "api"), []string{at + "network: must be a list, not a single value (line 9)"}},
		"a word for a mapping":         {"platforms:\n- micro\n", []string{"platforms[0]: must be a mapping of fields, not a single value (line 2)"}},
		"nothing in a field":           {with(t, "name: micro", "name:"), []string{"platforms[0].name: is empty; it must be a single value (line 2)"}},
		"no platforms":                 {"platforms: []\n", []string{"platforms: at least one platform must be listed"}},
		"null":                         {"null\n", []string{"platforms: is empty; it must be a mapping of fields"}},
		"empty":                        {"", []string{"the platform file is empty"}},
		"only remarks":                 {"# nothing\n", []string{"the platform file is empty"}},
		"a list":                       {"- name: micro\n", []string{"must be a mapping of fields, not a list (line 1)"}},
		"a word":                       {"hello\n", []string{"must be a mapping of fields, not a single value"}},
		"two documents":                {small + "---\n" + small, []string{"must hold one YAML document; a second one begins at line 10"}},
		"tabs":                         {"platforms:\n\t- name: micro\n", []string{"is not YAML: line 2:", "indent with spaces, not tabs"}},
		"a bracket left open":          {"platforms: [", []string{"the platform file is not YAML: line "}},
		"an anchor":                    {with(t, "[api]", "&a [api]"), []string{at + "network: YAML anchors and aliases are not allowed"}},
		"an alias":                     {"platforms: &a\n- *a\n", []string{"anchors and aliases are not allowed"}},
		"a merge":                      {with(t, "  domain:", "  <<: {kv: x}\n  domain:"), []string{"anchors, aliases and merges are not allowed"}},
		"a mapping for a name":         {"? {a: b}\n: c\n", []string{"a field's name must be a plain word"}},
		"no text":                      {"\xff\xfe\x00", []string{"the platform file is not text"}},
		"NUL":                          {"platforms: \x00", []string{"the platform file is not text"}},
	} {
		t.Run(name, func(t *testing.T) {
			specs, err := region.ParsePlatform([]byte(c.file))
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("got %v, %v; want it refused as invalid", specs, err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q:\n%s", want, err)
				}
			}
		})
	}
}

func TestEverythingThatIsWrongIsSaidAtOnce(t *testing.T) {
	file := with(t, "provider: do", "provider: nimbus")
	file = strings.Replace(file, "1.34", "9", 1)
	file = strings.Replace(file, "count: 3", "count: 9999", 1)
	_, err := region.ParsePlatform([]byte(file))
	var f *fault.Error
	if !errors.As(err, &f) || len(f.Problems) != 3 {
		t.Fatalf("want three problems, got %v", err)
	}
	for i, field := range []string{"provider", "kubernetes.version", "kubernetes.nodes.count"} {
		if f.Problems[i].Field != "platforms[0].regions[0]."+field {
			t.Errorf("problem %d is about %s, want %s", i, f.Problems[i].Field, field)
		}
	}
}

func TestManyProblemsAreCounted(t *testing.T) {
	_, err := region.ParsePlatform([]byte("platforms:\n" + strings.Repeat("- name: A\n", 1000)))
	var f *fault.Error
	if !errors.As(err, &f) || len(f.Problems) > 60 || len(err.Error()) > 20000 {
		t.Fatalf("an error of %d bytes", len(err.Error()))
	}
	if last := f.Problems[len(f.Problems)-1].Message; !strings.Contains(last, "more problems") {
		t.Errorf("the last problem is %q; want how many more there are", last)
	}
}

func TestAFileOverTheLimitIsRefused(t *testing.T) {
	_, err := region.ParsePlatform([]byte(small + "#" + strings.Repeat("x", region.MaxFileBytes)))
	if err == nil || !strings.Contains(err.Error(), "at most 1048576 are read") {
		t.Fatalf("got %v", err)
	}
}

func TestTooManyRegions(t *testing.T) {
	var b strings.Builder
	b.WriteString("platforms:\n")
	for i := range region.MaxRegions + 1 {
		if i%60 == 0 { // no platform alone is too large
			fmt.Fprintf(&b, "- name: micro%d\n  domain: micro.mu\n  regions:\n", i)
		}
		fmt.Fprintf(&b, "  - {name: r%d, provider: do, region: lon1, kubernetes: {version: \"1.34\", nodes: {count: 1, size: s}}}\n", i)
	}
	_, err := region.ParsePlatform([]byte(b.String()))
	if err == nil || !strings.Contains(err.Error(), "101 regions are more than 100") {
		t.Fatalf("got %v", err)
	}
}

// hostile files, each as large as the limit lets it be, or as deep.
func hostile() map[string]string {
	fill := func(piece string) string { return strings.Repeat(piece, region.MaxFileBytes/len(piece)-20) }
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'z'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	var stairs strings.Builder
	for i := range 1400 {
		stairs.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return map[string]string{
		"aliases that multiply": bomb, "staircase": stairs.String(),
		"open brackets": "platforms: " + fill("["), "nested lists": "platforms: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
		"open braces": fill("{a: "), "dashes": fill("- "), "questions": fill("? "), "tags": "platforms: " + fill("!!a "),
		"documents": fill("---\na: 1\n"), "lines": "platforms:\n" + fill("- name: a\n"), "remarks": fill("# x\n"),
		"one word": "platforms: \"" + fill("a") + "\"", "keys": "platforms:\n- " + fill("a: 1\n  "), "quotes": fill("\""), "anchors": fill("&a "),
		"many keys": func() string {
			var b strings.Builder
			for i := 0; b.Len() < region.MaxFileBytes-100; i++ {
				fmt.Fprintf(&b, "k%d: v\n", i)
			}
			return b.String()
		}(),
		"blocks": fill("|\n "), "colons": fill(": "), "percent": fill("%YAML 1.1\n"), "commas": "[" + fill("a,"),
	}
}

// Soon is a second or two, and ten times that under the race detector on a busy machine. What multiplies takes for ever.
func TestHostileFilesAreRefusedSoon(t *testing.T) {
	for name, file := range hostile() {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			_, err := region.ParsePlatform([]byte(file))
			if took := time.Since(began); took > time.Minute { // what takes its square takes hours
				t.Errorf("%d bytes took %s", len(file), took)
			}
			if err == nil {
				t.Fatal("it was accepted")
			}
			if len(err.Error()) > 30000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

func FuzzParsePlatform(f *testing.F) {
	f.Add([]byte(small))
	for _, file := range hostile() {
		f.Add([]byte(file[:min(len(file), 400)]))
	}
	f.Add([]byte("platforms: !!a !!b !!c\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		began := time.Now()
		specs, err := region.ParsePlatform(data)
		if took := time.Since(began); took > time.Minute { // what takes its square takes hours
			t.Fatalf("%d bytes took %s", len(data), took)
		}
		if err != nil {
			if !fault.Is(err, fault.Invalid) || len(err.Error()) > 60000 {
				t.Fatalf("refused as %s in %d bytes: %.200s", fault.Of(err), len(err.Error()), err)
			}
			return
		}
		for _, s := range specs {
			if p := s.Problems(""); len(p) > 0 {
				t.Fatalf("a region was accepted that is not valid: %v", p)
			}
			if !region.IsLabel(s.Platform) {
				t.Fatalf("platform %q was accepted", s.Platform)
			}
		}
	})
}
