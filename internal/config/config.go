// Package config is how a process learns where things are: the one place that reads the environment, and the one that
// describes what is read there.
//
// It holds settings, not decisions: what is missing is said by whoever needs it. The starter and internal/dev use it, and
// nothing else does.
package config

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
)

// The parts of the platform that settings are for, beside queues, which are called by their names: everything that serves,
// and every worker.
const (
	Everything = "everything"
	API        = "api"
	Worker     = "worker"
	Migrate    = "migrate"
)

// Settings are where the processes of the platform find what they work with. Each field is an environment variable, needed
// by the parts in "for" and by no other; what it says is the help of their commands. Keys and tokens are in files that a
// variable names; a database's password may be in its URL.
type Settings struct {
	LogLevel string `env:"M3O_LOG_LEVEL" for:"everything" say:"what is logged: debug, info (default), warn, error"`
	Endpoint string `env:"M3O_OTLP_ENDPOINT" for:"everything" say:"OTLP/HTTP URL that traces go to; empty: none are made"`

	Store       string `env:"M3O_STORE" for:"api flows migrate" say:"database: sqlite:///path or postgres://…"`
	Temporal    string `env:"M3O_TEMPORAL" for:"api worker migrate" say:"host:port of Temporal's frontend"`
	PayloadKeys string `env:"M3O_PAYLOAD_KEYS" for:"api worker migrate" say:"file with the keys that encrypt what Temporal keeps; the same one everywhere"`
	TicketKey   string `env:"M3O_TICKET_KEY" for:"api flows migrate" say:"file with the key that signs tickets for gateways; the same one everywhere"`
	TicketKeys  string `env:"M3O_TICKET_PUBLIC_KEYS" for:"cloud-digitalocean migrate" say:"file with the public keys of tickets (a JWK set), which gateways are given"`
	Blobs       string `env:"M3O_BLOBS" for:"api build" say:"folder of sources and build logs, shared by API and builds"`
	Listen      string `env:"M3O_LISTEN" for:"api" say:"host:port to serve at (default 127.0.0.1:8080)"`
	TemporalUI  string `env:"M3O_TEMPORAL_UI" for:"api" say:"origin of the Temporal UI, http://127.0.0.1:8233, which may have payloads decrypted"`
	Metrics     string `env:"M3O_METRICS" for:"worker" say:"host:port of metrics and health; empty: none"`
	WorkerBuild string `env:"M3O_WORKER_BUILD" for:"worker" say:"name of this code in Temporal's worker versioning (default: the version)"`

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

	DigitalOceanTokenFile string `env:"M3O_DIGITALOCEAN_TOKEN_FILE" for:"cloud-digitalocean" say:"file with the API token"`
	DigitalOceanURL       string `env:"M3O_DIGITALOCEAN_URL" for:"cloud-digitalocean" say:"base URL of the API; empty: the real one"`
	Poll                  string `env:"M3O_POLL" for:"cloud-digitalocean" say:"how often it is asked about what is on its way (default 5s)"`
	Patience              string `env:"M3O_CLUSTER_LIMIT" for:"cloud-digitalocean" say:"how long it may take for a cluster (default 1h)"`
	RegionTrace           string `env:"M3O_REGION_OTLP_ENDPOINT" for:"cloud-digitalocean" say:"the same as M3O_OTLP_ENDPOINT for the gateways of regions, as it is reached from there; empty: none are made"`
	ImageEtcd             string `env:"M3O_IMAGE_ETCD" for:"cloud-digitalocean" say:"image of etcd in regions (default: the official one, by digest)"`
	ImageNATS             string `env:"M3O_IMAGE_NATS" for:"cloud-digitalocean" say:"image of NATS (default: likewise)"`
	ImageCockroach        string `env:"M3O_IMAGE_COCKROACHDB" for:"cloud-digitalocean" say:"image of CockroachDB (default: likewise)"`
	ImageGateway          string `env:"M3O_IMAGE_GATEWAY" for:"cloud-digitalocean" say:"image with this program in /m3o; regions with a gateway need it"`
}

// Load reads the settings from the environment.
func Load() Settings {
	var s Settings
	each(&s, func(f reflect.StructField, value reflect.Value) { value.SetString(os.Getenv(f.Tag.Get("env"))) })
	return s
}

// Of returns the settings that the parts need: a process holds no key that it has no use for.
func (s Settings) Of(parts ...string) Settings {
	each(&s, func(f reflect.StructField, value reflect.Value) {
		if !neededBy(f, append(parts, Everything)) {
			value.SetString("")
		}
	})
	return s
}

// Describe lists the environment variables of the parts, for the help of a command.
func Describe(parts ...string) string {
	var b strings.Builder
	each(new(Settings), func(f reflect.StructField, _ reflect.Value) {
		if neededBy(f, parts) {
			fmt.Fprintf(&b, "  %-28s %s\n", f.Tag.Get("env"), f.Tag.Get("say"))
		}
	})
	return b.String()
}

func neededBy(f reflect.StructField, parts []string) bool {
	return slices.ContainsFunc(strings.Fields(f.Tag.Get("for")), func(part string) bool { return slices.Contains(parts, part) })
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
	each(&s, func(f reflect.StructField, value reflect.Value) {
		if value.String() != "" {
			env = append(env, f.Tag.Get("env")+"="+value.String())
		}
	})
	return env
}

func each(s *Settings, do func(f reflect.StructField, value reflect.Value)) {
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		do(v.Type().Field(i), v.Field(i))
	}
}

// Client is what the command line finds in the environment.
type Client struct {
	API     string // M3O_API: base URL
	Token   string // M3O_TOKEN
	Project string // M3O_PROJECT
	DataDir string // M3O_DATA_DIR
}

// LoadClient reads the command line's settings from the environment.
func LoadClient() Client {
	return Client{API: os.Getenv("M3O_API"), Token: os.Getenv("M3O_TOKEN"), Project: os.Getenv("M3O_PROJECT"), DataDir: os.Getenv("M3O_DATA_DIR")}
}
