package rest

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/fault"
)

// OpenRoutes are all that anyone may call.
var OpenRoutes = map[string]bool{"health": true, "get-status": true, "ready": true, "codec-preflight": true, "login-page": true, "login": true, "login-by-code": true,
	"twilio-status": true, "twilio-reply": true, "slack-interaction": true, "show-link": true, "use-link": true,
	"receive-alerts": true, "ping-heartbeat": true, "ping-heartbeat-by-get": true} // keys in their paths let in

func TestEveryRouteDeclaresItsPermission(t *testing.T) {
	a := &API{Metrics: http.NotFoundHandler()}
	a.Handler()
	if len(a.Routes()) < 20 {
		t.Fatalf("only %d routes are registered", len(a.Routes()))
	}
	for _, r := range a.Routes() {
		if r.Permission == account.Anyone && !OpenRoutes[r.Action] {
			t.Errorf("%s %s is open to anyone; only health, the public status, the login page and hooks may be", r.Method, r.Path)
		}
	}
	for route, item := range a.huma.OpenAPI().Paths {
		for _, o := range []*huma.Operation{item.Get, item.Put, item.Post, item.Delete, item.Options, item.Head, item.Patch, item.Trace} {
			if o != nil && !slices.ContainsFunc(a.Routes(), func(r Route) bool { return r.Action == o.OperationID && r.Path == route }) {
				t.Errorf("%s %s is described, but was not declared", o.Method, route)
			}
		}
	}
}

func TestARouteWithoutPermissionIsRefused(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("it was registered")
		}
	}()
	(&API{mux: http.NewServeMux()}).plain("leak", "GET", "/leak", "Leak", "", false, shape{}, http.NotFound)
}

// registrars are the functions that may register a route: the first two demand a permission, the third says what is nowhere.
var registrars = map[string][]string{"Register": {"typed"}, "Handle": {"plain"}, "HandleFunc": {"Handler"}}

// TestRoutesAreRegisteredInOnePlace reads the source, since a mux does not tell what it holds.
func TestRoutesAreRegisteredInOnePlace(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && registers(s) {
					if found++; !slices.Contains(registrars[s.Sel.Name], fn.Name.Name) {
						t.Errorf("%s registers a route beside typed and plain, which demand a permission", set.Position(n.Pos()))
					}
				}
				return true
			})
		}
	}
	if found != 3 {
		t.Errorf("routes are registered in %d places, not in typed, plain and Handler", found)
	}
}

// registers goes by the names that net/http and huma give to what registers a route. Those of huma that are verbs have many
// other uses: its functions of that name are looked for with their package.
func registers(s *ast.SelectorExpr) bool {
	x, _ := s.X.(*ast.Ident)
	ofHuma := x != nil && x.Name == "huma" && slices.Contains([]string{"Get", "Put", "Post", "Patch", "Delete", "Head", "AutoRegister"}, s.Sel.Name)
	return ofHuma || slices.Contains([]string{"Handle", "HandleFunc", "Register"}, s.Sel.Name)
}

// told is an event store that has told of seven events.
type told struct{}

func (told) Events(context.Context, int64, []string, int) ([]event.Event, error) { return nil, nil }
func (told) LastEvent(context.Context) (int64, error)                            { return 7, nil }
func (told) Watch() (<-chan struct{}, func())                                    { return nil, func() {} }

func FuzzPosition(f *testing.F) {
	for _, id := range []string{"", "0", "3", "7", "8", "-1", "9223372036854775807", "9223372036854775808", " 3", "3\x00", "+3", "0x3"} {
		f.Add(id, true)
		f.Add(id, false)
	}
	f.Fuzz(func(t *testing.T, id string, inHeader bool) {
		r := httptest.NewRequest("GET", "/v1/events", nil)
		if inHeader {
			r.Header["Last-Event-Id"] = []string{id}
		} else {
			r.URL.RawQuery = "after=" + id
		}
		after, err := (&API{Events: told{}}).position(r)
		if err != nil && !fault.Is(err, fault.Invalid) || err == nil && (after < 0 || after > 7) {
			t.Errorf("%q is read as %d, %v", id, after, err)
		}
	})
}
