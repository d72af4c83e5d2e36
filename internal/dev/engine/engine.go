//go:build embedded

// Package engine is Temporal, server and UI, inside our own process: the workflow engine of `m3o dev` and of tests. Its
// state is two SQLite files.
//
// It is not for production, which runs a Temporal cluster on PostgreSQL. It is linked in only with the build tag embedded,
// since it weighs more than all the rest together.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/membership/static"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"
	sqliteschema "go.temporal.io/server/schema/sqlite"
	"go.temporal.io/server/temporal"
	"google.golang.org/protobuf/types/known/durationpb"
	_ "modernc.org/sqlite" // the driver that Temporal's plugin uses too

	"github.com/m3o/platform/internal/attribute"
	"github.com/m3o/platform/internal/control"
)

// Config places an engine. Dir holds its files; Port is where clients reach it on the loopback.
type Config struct {
	Dir       string
	Port      int
	Namespace string
	Retention time.Duration
	Logger    *slog.Logger
}

// Engine is a running server.
type Engine struct {
	server  temporal.Server
	Address string
}

const loopback = "127.0.0.1"

// inside is where the server's parts listen for each other. They take orders from whoever connects, and the pods of our
// clusters can reach any port of 127.0.0.1, which their network knows the machine by, but no other address of the loopback.
// Elsewhere than on Linux the loopback has one address, and no such pods.
func inside() string {
	if runtime.GOOS == "linux" {
		return "127.0.0.2"
	}
	return loopback
}

// Start brings up the server on the files in Dir, made at the first start, and returns when it accepts workflows.
func Start(ctx context.Context, c Config) (*Engine, error) {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the engine's folder: %w", err)
	}
	settings, hosts, err := c.settings()
	if err != nil {
		return nil, err
	}
	if err := c.prepare(settings); err != nil {
		return nil, err
	}
	server, err := temporal.NewServer(temporal.WithConfig(settings), temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts), temporal.WithLogger(logger{c.Logger}), temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithDynamicConfigClient(tuning))
	if err != nil {
		return nil, fmt.Errorf("make the engine: %w", err)
	}
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("start the engine: %w", err)
	}
	e := &Engine{server: server, Address: fmt.Sprintf("%s:%d", loopback, c.Port)}
	if err := e.ready(ctx, c.Namespace); err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	return e, nil
}

// Stop ends the server. What runs in it goes on at the next start.
func (e *Engine) Stop() error { return e.server.Stop() }

// tuning: the development defaults make every task wait 50 ms; these do not. One partition is enough for one process.
var tuning = dynamicconfig.StaticClient{
	dynamicconfig.TransferProcessorMaxPollRPS.Key():         200,
	dynamicconfig.TimerProcessorMaxPollRPS.Key():            200,
	dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
	dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,
}

// The two files, as Temporal's data stores name them.
const (
	executions = "executions"
	visibility = "visibility"
)

func (c Config) settings() (*config.Config, map[primitives.ServiceName]static.Hosts, error) {
	services, hosts, err := c.services()
	if err != nil {
		return nil, nil, err
	}
	address := fmt.Sprintf("%s:%d", loopback, c.Port)
	var s config.Config
	s.Global.Membership = config.Membership{MaxJoinDuration: 30 * time.Second} // the start of the whole server may take twice that
	s.Persistence = config.Persistence{DefaultStore: executions, VisibilityStore: visibility, NumHistoryShards: 1,
		DataStores: map[string]config.DataStore{executions: {SQL: c.file(executions)}, visibility: {SQL: c.file(visibility)}}}
	s.ClusterMetadata = &cluster.Config{FailoverVersionIncrement: 10, MasterClusterName: "active", CurrentClusterName: "active",
		ClusterInformation: map[string]cluster.ClusterInformation{"active": {Enabled: true, InitialFailoverVersion: 1, RPCAddress: address}}}
	s.DCRedirectionPolicy = config.DCRedirectionPolicy{Policy: "noop"}
	s.Services = services
	s.Archival = config.Archival{History: config.HistoryArchival{State: "disabled"}, Visibility: config.VisibilityArchival{State: "disabled"}}
	s.NamespaceDefaults = config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
		History: config.HistoryArchivalNamespaceDefaults{State: "disabled"}, Visibility: config.VisibilityArchivalNamespaceDefaults{State: "disabled"}}}
	s.PublicClient = config.PublicClient{HostPort: address}
	return &s, hosts, nil
}

// file is one SQLite database: write-ahead log, one connection (more are slower). A killed process loses nothing; a
// machine that loses power may lose the last moments. Temporal's plugin sends every attribute that it does not know as a pragma
// of that very name, and SQLite ignores pragmas that it does not know: the test asks the files.
func (c Config) file(name string) *config.SQL {
	return &config.SQL{PluginName: sqliteplugin.PluginName, DatabaseName: inURL(c.path(name)), MaxConns: 1, MaxIdleConns: 1,
		ConnectAttributes: map[string]string{"mode": "rwc", "journal_mode": "wal", "synchronous": "normal", "busy_timeout": "10000"}}
}

func (c Config) path(name string) string { return filepath.Join(c.Dir, name+".db") }

// inURL is the path as Temporal's plugin needs it: it puts the name of a database into a URL as it is.
func inURL(path string) string { return (&url.URL{Path: path}).EscapedPath() }

// services says where the server's parts listen. All are in this process, so none has to be looked for.
func (c Config) services() (map[string]config.Service, map[primitives.ServiceName]static.Hosts, error) {
	services, hosts := map[string]config.Service{}, map[primitives.ServiceName]static.Hosts{}
	for _, name := range temporal.DefaultServices {
		ip, port := loopback, c.Port
		if primitives.ServiceName(name) != primitives.FrontendService {
			ip = inside()
			var err error
			if port, err = freePort(ip); err != nil {
				return nil, nil, err
			}
		}
		services[name] = config.Service{RPC: config.RPC{GRPCPort: port, BindOnIP: ip}}
		hosts[primitives.ServiceName(name)] = static.SingleLocalHost(net.JoinHostPort(ip, strconv.Itoa(port)))
	}
	return services, hosts, nil
}

func freePort(ip string) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// prepare makes the schema and the namespace. A file gets its schema under another name first, so that a start that was
// killed half-way leaves nothing that looks finished.
func (c Config) prepare(s *config.Config) error {
	for _, name := range []string{executions, visibility} {
		if err := makeSchema(c.path(name), s.Persistence.DataStores[name].SQL); err != nil {
			return fmt.Errorf("make the engine's %s file: %w", name, err)
		}
	}
	attributes := map[string]enumspb.IndexedValueType{}
	for _, name := range attribute.Names() {
		attributes[name] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
	}
	namespace, err := sqliteschema.NewNamespaceConfig("active", c.Namespace, false, attributes)
	if err != nil {
		return fmt.Errorf("describe namespace %s: %w", c.Namespace, err)
	}
	namespace.Detail.Config.Retention = durationpb.New(c.Retention)
	if err := sqliteschema.CreateNamespaces(s.Persistence.DataStores[executions].SQL, namespace); err != nil {
		return fmt.Errorf("make namespace %s: %w", c.Namespace, err)
	}
	return nil
}

func makeSchema(path string, final *config.SQL) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	unfinished := path + ".draft"
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(unfinished + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	draft := *final
	draft.DatabaseName = inURL(unfinished)
	draft.ConnectAttributes = map[string]string{"mode": "rwc", "journal_mode": "delete"}
	if err := sqliteschema.SetupSchema(&draft); err != nil {
		return err
	}
	return os.Rename(unfinished, path)
}

// ready waits until the namespace answers, and adds search attributes that a file from an earlier version lacks.
func (e *Engine) ready(ctx context.Context, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var lastErr error
	for ctx.Err() == nil {
		if lastErr = e.attributes(ctx, namespace); lastErr == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("the engine does not become ready: %w", lastErr)
}

func (e *Engine) attributes(ctx context.Context, namespace string) error {
	c, err := client.DialContext(ctx, client.Options{HostPort: e.Address, Namespace: namespace, Logger: quiet{}})
	if err != nil {
		return err
	}
	defer c.Close()
	return control.EnsureAttributes(ctx, c, namespace)
}

var _ log.Logger = logger{}
