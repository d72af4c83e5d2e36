// Package config is how a process learns where things are: the one place that reads the environment.
//
// It holds settings, not decisions: what is missing is said by whoever needs it. The starter and internal/dev use it, and
// nothing else does.
package config

import (
	"os"
	"reflect"
	"strings"
)

// Settings are where a process of the platform finds what it works with. Each field is an environment variable; a field
// that ends in File is the path of a file with the secret, which itself is never in the environment of a child.
type Settings struct {
	Store       string `env:"M3O_STORE"`         // database URL: sqlite:///path or postgres://…
	Temporal    string `env:"M3O_TEMPORAL"`      // host:port of Temporal's frontend
	TemporalUI  string `env:"M3O_TEMPORAL_UI"`   // origin of the Temporal UI, "http://127.0.0.1:8233"
	PayloadKeys string `env:"M3O_PAYLOAD_KEYS"`  // file with the keys that encrypt payloads
	TicketKey   string `env:"M3O_TICKET_KEY"`    // file with the key that signs tickets
	Blobs       string `env:"M3O_BLOBS"`         // folder of sources and logs
	Listen      string `env:"M3O_LISTEN"`        // host:port of the API
	Metrics     string `env:"M3O_METRICS"`       // host:port of a worker's metrics and health; empty: none
	Domain      string `env:"M3O_DOMAIN"`        // domain of the entrypoints
	WorkerBuild string `env:"M3O_WORKER_BUILD"`  // names the code to Temporal's worker versioning
	LogLevel    string `env:"M3O_LOG_LEVEL"`     // debug, info, warn, error
	Endpoint    string `env:"M3O_OTLP_ENDPOINT"` // OTLP/HTTP URL for traces; empty: none

	Registry           string `env:"M3O_REGISTRY"`             // host:port[/prefix] that built images are pushed to
	RegistrySecretFile string `env:"M3O_REGISTRY_SECRET_FILE"` // file with the password that our own registry demands of writers
	BuildDir           string `env:"M3O_BUILD_DIR"`            // work folder and caches of builds
	GoRoot             string `env:"M3O_GOROOT"`               // toolchain that builds
	Modules            string `env:"M3O_GOPROXY"`              // where builds get modules from
	SumDB              string `env:"M3O_GOSUMDB"`              // checksum database for them
	NoSumDB            string `env:"M3O_GONOSUMDB"`            // modules that it is not asked about
	Poll               string `env:"M3O_POLL"`                 // how often clouds are asked about what is on its way: "5s"
	Patience           string `env:"M3O_CLUSTER_LIMIT"`        // how long a cloud may take for a cluster: "60m"
	Unjailed           string `env:"M3O_UNJAILED_ALLOW"`       // "yes": build without a jail where none can be made

	ImageEtcd      string `env:"M3O_IMAGE_ETCD"`
	ImageNATS      string `env:"M3O_IMAGE_NATS"`
	ImageCockroach string `env:"M3O_IMAGE_COCKROACHDB"`
	ImageGateway   string `env:"M3O_IMAGE_GATEWAY"`

	DigitalOceanTokenFile string `env:"M3O_DIGITALOCEAN_TOKEN_FILE"`
	DigitalOceanURL       string `env:"M3O_DIGITALOCEAN_URL"` // empty: the real one
}

// Load reads the settings from the environment.
func Load() Settings {
	var s Settings
	each(&s, func(name string, value reflect.Value) { value.SetString(os.Getenv(name)) })
	return s
}

// Environ writes the settings as the environment of a child process, beside what any program needs.
func (s Settings) Environ() []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}
	each(&s, func(name string, value reflect.Value) {
		if value.String() != "" {
			env = append(env, name+"="+value.String())
		}
	})
	return env
}

func each(s *Settings, do func(name string, value reflect.Value)) {
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		do(v.Type().Field(i).Tag.Get("env"), v.Field(i))
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

// Go is what the machine's own Go toolchain is told about modules; builds in development use the same.
type Go struct{ Proxy, SumDB, NoSumDB string }

// LoadGo reads the go command's own environment variables.
func LoadGo() Go {
	proxy := os.Getenv("GOPROXY")
	if proxy == "" {
		proxy = "https://proxy.golang.org,direct"
	}
	none := os.Getenv("GONOSUMDB")
	if none == "" {
		none = os.Getenv("GOPRIVATE")
	}
	return Go{Proxy: strings.TrimSpace(proxy), SumDB: os.Getenv("GOSUMDB"), NoSumDB: none}
}
