package azure

import (
	"net/http"
	"slices"
	"strings"
)

// handler answers a request.
type handler func(*request) (reply, error)

// route is one operation. Its pattern is matched segment by segment, without regard to case, as the Resource Manager does; "{scope}"
// in front stands for any number of segments. Parameters go by their names in lower case.
type route struct {
	method, pattern string
	// operation is the official operationId.
	operation string
	// action is the permission that it needs, "" for none.
	action string
	handle handler
	kind   *kind
	// open routes are the authority's and the metadata: they need neither a token nor a version.
	open bool

	segments []string
	// names are the parameters that name resources, for faults.
	names []string
}

// isAKS says whether the Kubernetes service answers, which has habits of its own.
func (r *route) isAKS() bool { return strings.HasPrefix(r.action, containerService) }

var unknown = &route{operation: "unknown", handle: unknownRoute}

func (r *route) compile() *route {
	r.segments = split(r.pattern)
	for _, s := range r.segments {
		if name, is := parameter(s); is && !slices.Contains([]string{"subscriptionid", "scope", "tenant", "location", "operationid"}, name) {
			r.names = append(r.names, name)
		}
	}
	return r
}

// split cuts a path into its segments. Empty ones, which clients make by joining with one slash too many, do not count.
func split(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(s string) bool { return s == "" })
}

func parameter(segment string) (string, bool) {
	if strings.HasPrefix(segment, "{") && strings.HasSuffix(segment, "}") {
		return strings.ToLower(segment[1 : len(segment)-1]), true
	}
	return "", false
}

// match finds the route of a request, and its parameters as they were sent.
func match(method, path string) (*route, map[string]string) {
	segments := split(path)
	for _, r := range routes {
		if r.method != method {
			continue
		}
		if params, matched := r.match(segments); matched {
			return r, params
		}
	}
	return unknown, map[string]string{}
}

func (r *route) match(path []string) (map[string]string, bool) {
	pattern, params := r.segments, map[string]string{}
	if len(pattern) > 0 && pattern[0] == "{scope}" {
		pattern = pattern[1:]
		at := len(path) - len(pattern)
		if at < 0 {
			return nil, false
		}
		params["scope"] = "/" + strings.Join(path[:at], "/")
		path = path[at:]
		if scope := split(params["scope"]); len(scope) > 1 && strings.EqualFold(scope[0], "subscriptions") {
			params["subscriptionid"] = scope[1]
		}
	}
	if len(pattern) != len(path) {
		return nil, false
	}
	for i, s := range pattern {
		if name, is := parameter(s); is {
			params[name] = path[i]
		} else if !strings.EqualFold(s, path[i]) {
			return nil, false
		}
	}
	return params, true
}

// unknownRoute refuses what the sandbox does not have, as the Resource Manager refuses what it does not.
func unknownRoute(r *request) (reply, error) {
	segments := split(r.http.URL.Path)
	for i, s := range segments {
		if strings.EqualFold(s, "providers") && i+2 < len(segments) {
			typ := segments[i+2]
			for j := i + 4; j < len(segments); j += 2 {
				typ += "/" + segments[j]
			}
			if _, known := providers[strings.ToLower(segments[i+1])]; !known {
				return reply{}, arm(http.StatusNotFound, "InvalidResourceNamespace", "The resource namespace '%s' is invalid.", segments[i+1])
			}
			return reply{}, arm(http.StatusNotFound, "InvalidResourceType",
				"The resource type '%s' could not be found in the namespace '%s' for api version '%s'. (The sandbox does not have %s of it.)", typ, segments[i+1], r.version, r.http.Method)
		}
	}
	return reply{}, arm(http.StatusNotFound, "NotFound", "No route matches %s %s. (The sandbox does not have it.)", r.http.Method, r.http.URL.Path)
}

// scope is the id of what a request is about, as denials name it: the path, without the action of a POST.
func (r *request) scope() string {
	path := "/" + strings.Join(split(r.http.URL.Path), "/")
	if r.http.Method == http.MethodPost {
		if i := strings.LastIndexByte(path, '/'); i > 0 {
			path = path[:i]
		}
	}
	return path
}

// Operation is the official id of the operation that a request asks for, "unknown" for what the sandbox does not have.
func Operation(method, path string) string {
	r, _ := match(method, path)
	return r.operation
}
