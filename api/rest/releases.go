package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/source"
)

// ReleaseRequest asks for a new release: of an uploaded source, or of an image that exists. A setting that it leaves out stays as the
// release has it that the new one follows: the newest that has not failed.
type ReleaseRequest struct {
	Source    string            `json:"source,omitempty" doc:"Digest of an uploaded source."`
	Package   string            `json:"package,omitempty" doc:"Main package in the source; at first its root, \".\"."`
	Build     Build             `json:"build,omitzero" doc:"How the source is built."`
	Include   []string          `json:"include,omitempty" doc:"Patterns of files of the package's folder that come along; at first all but Go's own."`
	Exclude   []string          `json:"exclude,omitempty" doc:"Patterns of those that do not, in the form of .gitignore."`
	Module    string            `json:"module,omitempty" doc:"Import path of the main package, by which programs are told apart."`
	Image     string            `json:"image,omitempty" doc:"Reference of an image that exists."`
	Access    release.Access    `json:"access,omitempty" enum:"public,key" doc:"Who may call it; at first only who has a key."`
	Preflight release.Access    `json:"preflight,omitempty" enum:"public,key" doc:"Who may send CORS preflights; at first whoever may call it."`
	Port      int               `json:"port,omitempty" doc:"Port the program listens on; told by $PORT; at first 8080."`
	Protocol  release.Protocol  `json:"protocol,omitempty" enum:"http,h2c" doc:"What the program speaks on its port: HTTP/1.1, or HTTP/2 without TLS; at first http."`
	Replicas  int               `json:"replicas,omitempty" doc:"Instances in each region; at first 1."`
	Health    string            `json:"health,omitempty" doc:"Path of an HTTP health check; without one a connection is enough."`
	Start     string            `json:"start,omitempty" example:"90s" doc:"Until when an instance must be ready, such as 90s; at first 2m."`
	Timeout   string            `json:"timeout,omitempty" example:"10m" doc:"How long an exchange may stand still, such as 10m; at first the gateway's own limit."`
	MaxBody   int64             `json:"max_body,omitempty" doc:"Bytes of a request's body; at first the gateway's own limit."`
	Env       map[string]string `json:"env,omitempty" doc:"Plain settings, which are merged by name with those that are kept. Secrets do not belong here."`
	Args      []string          `json:"args,omitempty" doc:"Arguments of the program, all of them."`
	File      *release.InFile   `json:"file,omitempty" doc:"Which of the settings come from the source's m3o.yaml. What the release before had from its own, and this one has not, goes back to its default. Left out: no m3o.yaml was read."`
	Reset     []string          `json:"reset,omitempty" doc:"Settings that go back to their default, by name: replicas, env.LEVEL; env for all of them."`
}

// Build is how a source is built.
type Build struct {
	Tags []string          `json:"tags,omitempty" doc:"Build tags, all of them."`
	Set  map[string]string `json:"set,omitempty" doc:"Values of string variables by importpath.name, as -ldflags -X sets them; merged by name."`
}

// request is what is asked for, without what the project may run. It says everything that is wrong with it.
func (r ReleaseRequest) request(key release.Key, by string) (release.Request, error) {
	var c fault.Checker
	asked := release.Request{Service: key, By: by, File: r.File, Reset: r.Reset,
		Origin: release.Origin{Source: r.Source, Package: r.Package, Module: r.Module, Image: r.Image,
			Build: release.Build{Tags: r.Build.Tags, Set: r.Build.Set, Include: r.Include, Exclude: r.Exclude}},
		Spec: release.Spec{Access: r.Access, Preflight: r.Preflight, Port: r.Port, Protocol: r.Protocol, Replicas: r.Replicas, Health: r.Health,
			Start: span(&c, "start", r.Start), Timeout: span(&c, "timeout", r.Timeout), MaxBody: r.MaxBody, Env: r.Env, Args: r.Args},
	}
	var f *fault.Error
	if errors.As(asked.Validate(), &f) {
		c.Add(f.Problems...)
	}
	return asked, c.Err()
}

// span reads a span of time that a field says; left out it is 0.
func span(c *fault.Checker, field, text string) release.Duration {
	if text == "" {
		return 0
	}
	var d release.Duration
	if err := d.UnmarshalText([]byte(text)); err != nil {
		c.Check(false, field, "%s", err)
		return 0
	}
	c.Check(d > 0, field, "%.40q is not above 0", text)
	return d
}

func releaseURL(key release.Key, number int) string {
	return fmt.Sprintf("/v1/services/%s/releases/%d?project=%s", key.Name, number, key.Project)
}

// ReleasePath names a release of a service.
type ReleasePath struct {
	ServicePath
	Number int `path:"number" minimum:"1" doc:"Number of the release."`
}

func (a *API) registerReleases() {
	typed(a, "create-release", http.MethodPost, "/v1/services/{name}/releases", "Bring out a new release", account.WriteServices, 202, a.createRelease, mayRefuse...)
	typed(a, "list-releases", http.MethodGet, "/v1/services/{name}/releases", "List a service's releases", account.ReadServices, 200, a.listReleases)
	typed(a, "get-release", http.MethodGet, "/v1/services/{name}/releases/{number}", "Show a release", account.ReadServices, 200, a.getRelease)
	a.plain("get-build-log", http.MethodGet, "/v1/services/{name}/releases/{number}/log", "Read a build's log", account.ReadServices, false, shape{about: "The log so far, or to its end.",
		gives:  textOf("text/plain", "Lines as the build prints them."),
		params: []*huma.Param{inQuery("follow", "Stay until the build ends.", &huma.Schema{Type: huma.TypeBoolean})}}, a.buildLog)
	typed(a, "list-builders", http.MethodGet, "/v1/builders", "List what sources are built with", account.ReadServices, 200, a.listBuilders)
	a.plain("put-source", http.MethodPut, "/v1/sources/{digest}", "Upload a source under its digest", account.WriteServices, false, shape{status: http.StatusCreated,
		takes: map[string]*huma.Schema{"application/gzip": {Type: huma.TypeString, Format: "binary", Description: "The archive (tar.gz) with that digest."}},
		about: "The source is there.", gives: jsonOf(sourceSchema()), refuses: []int{http.StatusInsufficientStorage}}, a.putSource)
}

func sourceSchema() *huma.Schema {
	s := object("digest", "Digest of what is in the archive.", "bytes", "")
	s.Properties["bytes"] = &huma.Schema{Type: huma.TypeInteger, Description: "Size of the archive."}
	return s
}

func (a *API) createRelease(ctx context.Context, in *struct {
	ServicePath
	Keyed
	Body ReleaseRequest
}) (*Body[Ordered], error) {
	key := in.key(ctx)
	request, err := in.Body.request(key, caller(ctx).Subject)
	if err != nil {
		return nil, problem(ctx, err)
	}
	if err := a.owns(ctx, key.Project, request.Origin); err != nil {
		return nil, problem(ctx, err)
	}
	answer, err := once(ctx, a, "create-release "+key.String(), in.IdempotencyKey, in.Body, func(id string) (release.Accepted, error) {
		return a.ServiceCommands.DeployService(ctx, id, request)
	})
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &Body[Ordered]{ordered(answer)}, nil
}

// owns says why a project may not run what a release names: a source that it has not uploaded, or another project's image. The
// builder asks again.
func (a *API) owns(ctx context.Context, project string, origin release.Origin) error {
	if origin.Image != "" {
		return a.CheckImage(project, origin.Image)
	}
	name, err := source.BlobName(project, origin.Source)
	if err != nil {
		return err
	}
	if _, err := a.Blobs.Stat(ctx, name); fault.Is(err, fault.NotFound) {
		return fault.New(fault.NotFound, "source %s has not been uploaded to project %s: PUT it to /v1/sources/%s?project=%s first", origin.Source, project, origin.Source, project)
	} else if err != nil {
		return err
	}
	return nil
}

func (a *API) listReleases(ctx context.Context, in *struct {
	ServicePath
	Paging
}) (*Body[List[release.Release]], error) {
	s, err := a.find(ctx, in.ServicePath)
	if err != nil {
		return nil, problem(ctx, err)
	}
	items, next, err := a.Services.Releases(ctx, s.Key, in.page())
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &Body[List[release.Release]]{List[release.Release]{Items: items, Next: next}}, nil
}

func (a *API) getRelease(ctx context.Context, in *ReleasePath) (*Body[release.Release], error) {
	r, err := a.Services.Release(ctx, in.key(ctx), in.Number)
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &Body[release.Release]{r}, nil
}

// putSource takes an archive as package source packs it, under the digest of what is in it, for a project alone.
func (a *API) putSource(w http.ResponseWriter, r *http.Request) {
	limits := source.Limits{}.WithDefaults()
	if r.ContentLength > limits.Packed { // before a byte of it is read
		writeProblem(w, r, fault.New(fault.Invalid, "the source is larger than %d MB when packed", limits.Packed>>20))
		return
	}
	stats, err := source.Receive(r.Context(), a.Blobs, project(r.Context()).Name, r.PathValue("digest"), a.inPieces(w, r), limits)
	if err != nil {
		writeProblem(w, r, late(err, err))
		return
	}
	writeJSON(w, http.StatusCreated, map[string]any{"digest": r.PathValue("digest"), "bytes": stats.Packed})
}

// buildLog streams the log of a release's build as text, and with follow=true goes on until the build ends.
func (a *API) buildLog(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.Atoi(r.PathValue("number"))
	if err != nil || number < 1 {
		writeProblem(w, r, fault.New(fault.Invalid, "%q is not the number of a release", r.PathValue("number")))
		return
	}
	key := ServicePath{Name: r.PathValue("name")}.key(r.Context())
	if _, err := a.Services.Release(r.Context(), key, number); err != nil {
		writeProblem(w, r, err)
		return
	}
	name := release.BuildInput{Service: key, Number: number}.LogName()
	if err := a.copyLog(w, r, name); err != nil {
		writeProblem(w, r, err)
	}
}
