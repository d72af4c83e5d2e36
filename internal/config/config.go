// Package config is how a process learns where things are: the one place that reads the environment, and the one that
// describes what is read there.
//
// It holds settings, not decisions: what is missing is said by whoever needs it. The starter and internal/dev use it, and
// nothing else does.
package config

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
)

// Part is a part of the platform that settings are for: a kind of process, or a queue.
type Part struct {
	Name string // what the "for" of a field of Settings calls it
	Own  any    // settings of this part alone: a struct whose fields are tagged as those of Settings are, but for "for"; nil: none
}

// The parts that settings are shared by: everything that serves, every worker, and the worker of any cloud. A provider's own
// settings come with its row in the table of queues.
var (
	Everything = Part{Name: "everything"}
	API        = Part{Name: "api"}
	Worker     = Part{Name: "worker"}
	Migrate    = Part{Name: "migrate"}
	Flows      = Part{Name: "flows"}
	Build      = Part{Name: "build"}
	Cloud      = Part{Name: "cloud"}
	Pages      = Part{Name: "pages"}
)

// Settings are where the processes of the platform find what they work with. Each field is an environment variable, needed
// by the parts in "for" and by no other; what it says is the help of their commands. Keys and tokens are in files that a
// variable names; a database's password may be in its URL.
type Settings struct {
	LogLevel string `env:"M3O_LOG_LEVEL" for:"everything" say:"what is logged: debug, info (default), warn, error"`
	Endpoint string `env:"M3O_OTLP_ENDPOINT" for:"everything" say:"OTLP/HTTP URL that traces go to; empty: none are made"`

	Store           string `env:"M3O_STORE" for:"api flows migrate" say:"database: sqlite:///path or postgres://…"`
	Temporal        string `env:"M3O_TEMPORAL" for:"api worker migrate" say:"host:port of Temporal's frontend"`
	PayloadKeys     string `env:"M3O_PAYLOAD_KEYS" for:"api worker migrate" say:"file with the keys that encrypt what Temporal keeps; the same one everywhere"`
	TicketKey       string `env:"M3O_TICKET_KEY" for:"api flows migrate" say:"file with the key that signs tickets for gateways; the same one everywhere"`
	TicketKeys      string `env:"M3O_TICKET_PUBLIC_KEYS" for:"cloud migrate" say:"file with the public keys of tickets (a JWK set), which gateways are given"`
	LinkKey         string `env:"M3O_LINK_KEY" for:"pages migrate" say:"file with the key that signs links in mails; the same one in every worker of pages"`
	LinkKeys        string `env:"M3O_LINK_PUBLIC_KEYS" for:"api migrate" say:"file with the public keys of those links (a JWK set)"`
	SlackSecretFile string `env:"M3O_SLACK_SIGNING_SECRET_FILE" for:"api" say:"file with the secret that Slack signs buttons with; empty: buttons do nothing"`
	Blobs           string `env:"M3O_BLOBS" for:"api build" say:"folder of sources and build logs, shared by API and builds"`
	Listen          string `env:"M3O_LISTEN" for:"api" say:"host:port to serve at (default 127.0.0.1:8080)"`
	Hosts           string `env:"M3O_HOSTS" for:"api" say:"names that the API is reached by, with commas, beside addresses, localhost and that of M3O_PUBLIC_URL"`
	PublicURL       string `env:"M3O_PUBLIC_URL" for:"api pages" say:"how people and providers reach the API, https://api.example.com: over https, cookies are for https alone"`
	TrustedProxies  string `env:"M3O_TRUSTED_PROXIES" for:"api" say:"networks of proxies in front, with commas: what they say in X-Forwarded-For and -Proto is believed"`
	TemporalUI      string `env:"M3O_TEMPORAL_UI" for:"api" say:"origin of the Temporal UI, http://127.0.0.1:8233, which may have payloads decrypted"`
	Metrics         string `env:"M3O_METRICS" for:"worker" say:"host:port of metrics and health; empty: none"`
	WorkerBuild     string `env:"M3O_WORKER_BUILD" for:"worker" say:"name of this code in Temporal's worker versioning (default: the version)"`

	TemporalNamespace  string `env:"M3O_TEMPORAL_NAMESPACE" for:"api worker migrate" say:"namespace there (default m3o)"`
	TemporalCertFile   string `env:"M3O_TEMPORAL_CERT_FILE" for:"api worker migrate" say:"file with our client certificate for Temporal (PEM); read again when it is renewed"`
	TemporalKeyFile    string `env:"M3O_TEMPORAL_KEY_FILE" for:"api worker migrate" say:"file with the key of that certificate"`
	TemporalCAFile     string `env:"M3O_TEMPORAL_CA_FILE" for:"api worker migrate" say:"file with the authorities that sign Temporal's certificate (default: the system's)"`
	TemporalServerName string `env:"M3O_TEMPORAL_SERVER_NAME" for:"api worker migrate" say:"name in Temporal's certificate (default: the host of M3O_TEMPORAL)"`
	TemporalAPIKeyFile string `env:"M3O_TEMPORAL_API_KEY_FILE" for:"api worker migrate" say:"file with an API key in place of a client certificate; any of these five settings means TLS"`
	TemporalPlaintext  string `env:"M3O_TEMPORAL_PLAINTEXT_ALLOW" for:"api worker migrate" say:"yes: reach it without TLS, also where it is not on the loopback, because a mesh encrypts the connection"`

	Registry           string `env:"M3O_REGISTRY" for:"api build" say:"host:port[/prefix] that images are pushed to, each project's to its own part"`
	RegistryHTTP       string `env:"M3O_REGISTRY_HTTP" for:"build" say:"yes: it speaks plain HTTP; one on the loopback always may"`
	RegistrySecretFile string `env:"M3O_REGISTRY_SECRET_FILE" for:"build" say:"file with the password that it demands of the user m3o; empty: none"`
	InsideRegistries   string `env:"M3O_INSIDE_REGISTRIES" for:"build" say:"others that may lie inside our network, with commas: HOST[:PORT] or 10.0.0.0/8"`
	BuildDir           string `env:"M3O_BUILD_DIR" for:"build" say:"work folder and caches"`
	GoRoot             string `env:"M3O_GOROOT" for:"build" say:"Go toolchain"`
	Modules            string `env:"M3O_GOPROXY" for:"build" say:"where modules come from, as GOPROXY"`
	SumDB              string `env:"M3O_GOSUMDB" for:"build" say:"checksum database, as GOSUMDB (default sum.golang.org)"`
	NoSumDB            string `env:"M3O_GONOSUMDB" for:"build" say:"modules that it is not asked about, as GONOSUMDB"`
	Unjailed           string `env:"M3O_UNJAILED_ALLOW" for:"build" say:"yes: where no jail can be made, compile without one, as the worker's own user"`

	Workers        string `env:"M3O_WORKERS" for:"cloud" say:"processes that share this cloud's limits, the replicas of its Deployment and those that a rollout adds to them (default 1)"`
	Poll           string `env:"M3O_POLL" for:"cloud" say:"how often it is asked about what is on its way (default 5s)"`
	Egress         string `env:"M3O_EGRESS_CIDRS" for:"cloud" say:"ranges that this worker is seen by outside, 5 at most, with commas: API servers that access_cidrs restricts let them in"`
	Patience       string `env:"M3O_CLUSTER_LIMIT" for:"cloud" say:"how long it may take for a cluster (default 1h)"`
	RegionTrace    string `env:"M3O_REGION_OTLP_ENDPOINT" for:"cloud" say:"the same as M3O_OTLP_ENDPOINT for the gateways of regions, as it is reached from there; empty: none are made"`
	ImageEtcd      string `env:"M3O_IMAGE_ETCD" for:"cloud" say:"image of etcd in regions (default: the official one, by digest)"`
	ImageNATS      string `env:"M3O_IMAGE_NATS" for:"cloud" say:"image of NATS (default: likewise)"`
	ImageCockroach string `env:"M3O_IMAGE_COCKROACHDB" for:"cloud" say:"image of CockroachDB (default: likewise)"`
	ImageGateway   string `env:"M3O_IMAGE_GATEWAY" for:"cloud" say:"image with this program in /m3o; regions with a gateway need it"`

	own map[string]string // of single parts, by variable
}

// Load reads the settings of the parts from the environment, and no others: a process holds no key that it has no use for.
func Load(parts ...Part) Settings {
	var s Settings
	each(&s, func(f field) { f.value.SetString(os.Getenv(f.variable())) })
	s.own = map[string]string{}
	for _, p := range parts {
		eachOwn(p.Own, func(f field) { s.own[f.variable()] = os.Getenv(f.variable()) })
	}
	return s.Of(parts...)
}

// Of returns the settings that the parts need.
func (s Settings) Of(parts ...Part) Settings {
	parts = append(slices.Clone(parts), Everything)
	each(&s, func(f field) {
		if !f.neededBy(parts) {
			f.value.SetString("")
		}
	})
	own := map[string]string{}
	for _, p := range parts {
		eachOwn(p.Own, func(f field) {
			if value := s.own[f.variable()]; value != "" {
				own[f.variable()] = value
			}
		})
	}
	s.own = own
	return s
}

// With returns the settings with those of one part alone, as Part.Own describes them.
func (s Settings) With(own any) Settings {
	s.own = maps.Clone(s.own)
	if s.own == nil {
		s.own = map[string]string{}
	}
	eachOwn(own, func(f field) { s.own[f.variable()] = f.value.String() })
	return s
}

// Own fills the struct that into points to, which describes the settings of one part alone.
func (s Settings) Own(into any) {
	eachField(reflect.ValueOf(into).Elem(), func(f field) { f.value.SetString(s.own[f.variable()]) })
}

// Describe lists the environment variables of the parts, for the help of a command.
func Describe(parts ...Part) string {
	var b strings.Builder
	describe := func(f field) { fmt.Fprintf(&b, "  %-28s %s\n", f.variable(), f.Tag.Get("say")) }
	for _, p := range parts {
		eachOwn(p.Own, describe)
	}
	each(new(Settings), func(f field) {
		if f.neededBy(parts) {
			describe(f)
		}
	})
	return b.String()
}

// network are the variables by which any program finds its way out of the machine, and whom it trusts there.
var network = []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"}

// Environ writes the settings as the environment of a child process, beside what any program needs.
func (s Settings) Environ() []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}
	for _, name := range network {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	each(&s, func(f field) {
		if f.value.String() != "" {
			env = append(env, f.variable()+"="+f.value.String())
		}
	})
	for _, name := range slices.Sorted(maps.Keys(s.own)) {
		if s.own[name] != "" {
			env = append(env, name+"="+s.own[name])
		}
	}
	return env
}

// field is one setting: its tags, and its value.
type field struct {
	reflect.StructField
	value reflect.Value
}

func (f field) variable() string { return f.Tag.Get("env") }

func (f field) neededBy(parts []Part) bool {
	needed := strings.Fields(f.Tag.Get("for"))
	return slices.ContainsFunc(parts, func(p Part) bool { return slices.Contains(needed, p.Name) })
}

func each(s *Settings, do func(field)) { eachField(reflect.ValueOf(s).Elem(), do) }

// eachOwn goes through the settings of one part alone; what it sets is lost.
func eachOwn(own any, do func(field)) {
	if own == nil {
		return
	}
	copied := reflect.New(reflect.TypeOf(own)).Elem()
	copied.Set(reflect.ValueOf(own))
	eachField(copied, do)
}

func eachField(v reflect.Value, do func(field)) {
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() {
			do(field{f, v.Field(i)})
		}
	}
}

// Client is what the command line finds in the environment.
type Client struct {
	API     string // M3O_API: base URL
	Token   string // M3O_TOKEN
	Project string // M3O_PROJECT
	DataDir string // M3O_DATA_DIR

	ConfigDir string // M3O_CONFIG_DIR: where `m3o login` keeps tokens; empty: the user's folder of settings
}

// LoadClient reads the command line's settings from the environment.
func LoadClient() Client {
	return Client{API: os.Getenv("M3O_API"), Token: os.Getenv("M3O_TOKEN"), Project: os.Getenv("M3O_PROJECT"), DataDir: os.Getenv("M3O_DATA_DIR"),
		ConfigDir: os.Getenv("M3O_CONFIG_DIR")}
}
