package gcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/world"
)

// What all collections of compute have in common: get, list, insert, patch, delete.

var resourceName = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)

// scope is the place of the path, if there is such a place.
func (r *request) scope() (string, error) {
	if name, given := r.vars["region"]; given {
		if _, known := findRegion(name); !known {
			return "", noPlace(r.Request.Method, "region", "regions", name)
		}
		return regionS + "/" + name, nil
	}
	if name, given := r.vars["zone"]; given {
		if _, known := regionOfZone(name); !known {
			return "", noPlace(r.Request.Method, "zone", "zones", name)
		}
		return zoneS + "/" + name, nil
	}
	return global, nil
}

// noPlace is the answer about a region or zone that there is not.
func noPlace(method, what, plural, name string) error {
	if method != "GET" {
		return invalidField(what, name, "Unknown %s.", what)
	}
	return noResource("projects/" + ProjectID + "/" + plural + "/" + name)
}

// name is the resource of the path.
func (r *request) name() string {
	_, variable := r.route.collection.under()
	return r.vars[variable]
}

// resource loads the resource of the path.
func (r *request) resource(tx *world.Tx) (resource, error) {
	scope, err := r.scope()
	if err != nil {
		return resource{}, err
	}
	found, err := world.Get[resource](tx, key(scope, r.route.collection.name, r.name()))
	if isNotFound(err) {
		err = noResource(pathOf(scope, r.route.collection.name, r.name()))
	}
	return found, err
}

// shown is the resource as the API shows it.
func (c *collection) shown(tx *world.Tx, r resource) (document, error) {
	doc := r.Doc.clone()
	doc["kind"], doc["id"], doc["name"], doc["selfLink"], doc["creationTimestamp"] = c.kind, r.ID, r.Name, r.link(), timestamp(r.CreatedAt)
	if plural, place, placed := strings.Cut(r.Scope, "/"); placed {
		doc[strings.TrimSuffix(plural, "s")] = computeLink("projects/" + ProjectID + "/" + plural + "/" + place)
	}
	if c.show == nil {
		return doc, nil
	}
	return doc, c.show(tx, r, doc)
}

// timestamp is a time as compute writes it.
func timestamp(t time.Time) string { return t.Format("2006-01-02T15:04:05.000-07:00") }

func getResource(r *request) (any, error) {
	var doc document
	err := r.View(func(tx *world.Tx) error {
		found, err := r.resource(tx)
		if err != nil {
			return err
		}
		doc, err = r.route.collection.shown(tx, found)
		return err
	})
	return doc, err
}

func listResources(r *request) (any, error) {
	scope, err := r.scope()
	if err != nil {
		return nil, err
	}
	var docs []document
	err = r.View(func(tx *world.Tx) error {
		all, err := world.Children[resource](tx, ref(r.route.collection.name, scope))
		if err != nil {
			return err
		}
		docs, err = r.route.collection.allShown(tx, all)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r.page(r.route.collection.listKind(false), pathOf(scope, r.route.collection.name, ""), docs)
}

func (c *collection) allShown(tx *world.Tx, all []resource) ([]document, error) {
	slices.SortFunc(all, func(a, b resource) int { return strings.Compare(a.Scope+a.Name, b.Scope+b.Name) })
	docs := make([]document, 0, len(all))
	for _, one := range all {
		doc, err := c.shown(tx, one)
		if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
	return docs, nil
}

func listEverywhere(r *request) (any, error) {
	var docs []document
	err := r.View(func(tx *world.Tx) error {
		all, err := world.List[resource](tx, ref(r.route.collection.name, ""))
		if err != nil {
			return err
		}
		docs, err = r.route.collection.allShown(tx, all)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r.aggregated(r.route.collection.listKind(true), r.route.collection.name, placesOf(r.route.collection.scope), docs)
}

func insertResource(r *request) (any, error) {
	c := r.route.collection
	scope, err := r.scope()
	if err != nil {
		return nil, err
	}
	doc, err := r.document(c)
	if err != nil {
		return nil, err
	}
	id, err := newID()
	if err != nil {
		return nil, err
	}
	made := resource{Collection: c.name, Scope: scope, Name: doc.text("name"), ID: id, Doc: doc, CreatedAt: r.At, Fresh: true}
	if !resourceName.MatchString(made.Name) {
		return nil, invalidField("resource.name", made.Name, "Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)'")
	}
	return r.operate("insert", c.makes, func(tx *world.Tx, o *operation) error {
		_, err := world.Get[resource](tx, made.key())
		if err == nil {
			return exists("The resource '%s' already exists", made.path())
		}
		if !isNotFound(err) {
			return err
		}
		if err := c.check(r, tx, &made); err != nil {
			return err
		}
		if err := c.room(tx, scope, o); err != nil {
			return err
		}
		made.Busy = o.Name
		o.about(made)
		return errors.Join(putResource(tx, made), tx.Record(r.Effect(world.Created, c.ledger, made.ID, made.Name)))
	})
}

// document reads the body, which may have the fields that the official description has.
func (r *request) document(c *collection) (document, error) {
	if err := r.decode(c.shape()); err != nil {
		return nil, err
	}
	var doc document
	if err := json.Unmarshal(r.body, &doc); err != nil || doc == nil {
		return nil, invalid("Invalid JSON payload received.")
	}
	for _, output := range []string{"kind", "id", "selfLink", "creationTimestamp", "region", "zone"} {
		delete(doc, output) // as there, what only answers have is ignored
	}
	return doc, nil
}

// room says whether the project may have one more there. Some limits are looked at when the request comes, others by the operation.
func (c *collection) room(tx *world.Tx, scope string, o *operation) error {
	limits, where := projectLimits, "globally"
	of := ref(c.name, "")
	list := world.List[resource]
	if place, isRegion := strings.CutPrefix(scope, regionS+"/"); isRegion && regionLimits[c.quota] > 0 {
		limits, where, of, list = regionLimits, "in region "+place, ref(c.name, scope), world.Children[resource]
	}
	limit := limits[c.quota]
	if limit == 0 {
		return nil
	}
	all, err := list(tx, of)
	if err != nil || len(all) < limit {
		return err
	}
	full := overQuota(serviceCompute, c.quota, limit, where)
	if !c.late {
		return full
	}
	o.Refused, o.RefusedCode = full.Error(), "QUOTA_EXCEEDED"
	return nil
}

func patchResource(r *request) (any, error) {
	patch, err := r.document(r.route.collection)
	if err != nil {
		return nil, err
	}
	return r.change("patch", patch)
}

func setPrivateAccess(r *request) (any, error) {
	var asked struct {
		PrivateIPGoogleAccess bool `json:"privateIpGoogleAccess"`
	}
	if err := r.decode(&asked); err != nil {
		return nil, err
	}
	return r.change("setPrivateIpGoogleAccess", document{"privateIpGoogleAccess": asked.PrivateIPGoogleAccess})
}

// change has the fields of a patch replace those that there are, when the operation ends.
func (r *request) change(verb string, patch document) (any, error) {
	c := r.route.collection
	return r.operate(verb, c.makes, func(tx *world.Tx, o *operation) error {
		found, err := r.resource(tx)
		if err != nil {
			return err
		}
		if found.Busy != "" {
			return notReady(found.path())
		}
		changed := found
		changed.Doc = found.Doc.clone()
		if sent, given := patch["fingerprint"]; given && sent != fingerprint(found.Doc) {
			return &refusal{status: 412, code: "FAILED_PRECONDITION", reason: "conditionNotMet", message: "Invalid fingerprint."}
		}
		for field, value := range patch {
			changed.Doc[field] = value
		}
		delete(changed.Doc, "fingerprint")
		if verb == "patch" {
			if err := c.patch(r, tx, &changed); err != nil {
				return err
			}
		}
		o.Pending = changed.Doc
		o.about(found)
		found.Busy = o.Name
		return errors.Join(putResource(tx, found), tx.Record(r.Effect(world.Updated, c.ledger, found.ID, found.Name)))
	})
}

func deleteResource(r *request) (any, error) {
	c := r.route.collection
	return r.operate("delete", c.ends, func(tx *world.Tx, o *operation) error {
		found, err := r.resource(tx)
		if err != nil {
			return err
		}
		if found.Busy != "" {
			return notReady(found.path())
		}
		user, err := userOf(tx, found)
		if err != nil {
			return err
		}
		if user != "" {
			return inUse(strings.ReplaceAll(c.ledger, "_", " "), found.path(), user)
		}
		o.about(found)
		found.Busy = o.Name
		return putResource(tx, found)
	})
}

// operate commits a change that takes a while, and answers with its operation. The same request id is the same operation.
func (r *request) operate(kind string, takes time.Duration, change func(*world.Tx, *operation) error) (any, error) {
	request := r.Request.URL.Query().Get("requestId")
	if err := checkRequestID(request); err != nil {
		return nil, err
	}
	scope, err := r.scope()
	if err != nil {
		return nil, err
	}
	var told document
	err = r.Commit(func(tx *world.Tx) error {
		if known, found, err := operationOfRequest(tx, request, kind); err != nil || found {
			told = known.shown(r.At)
			return err
		}
		o, err := r.newOperation(serviceCompute, scope, kind)
		if err != nil {
			return err
		}
		o.Request = request
		if err := change(tx, &o); err != nil {
			return err
		}
		if kind == "delete" {
			o.Transition, err = r.BeginEnd(tx, o.Name, takes)
		} else {
			o.Transition, err = r.Begin(tx, o.Name, takes, "Internal error. Please try again or contact Google Support.")
		}
		if err != nil {
			return err
		}
		if o.Refused != "" {
			o.Transition.Fail = o.Refused
		}
		told = o.shown(r.At)
		return errors.Join(putOperation(tx, o), rememberRequest(tx, o))
	})
	return told, err
}

func checkRequestID(id string) error {
	if id == "" {
		return nil
	}
	if parsed, err := uuid.Parse(id); err != nil || parsed == uuid.Nil {
		return invalidField("requestId", id, "Must be a valid UUID, and not the zero one.")
	}
	return nil
}

// linkPath makes a reference, by whatever host or without one, a path ("projects/m3o-sandbox/global/networks/n").
func linkPath(link string) (string, bool) {
	path := link
	if u, err := url.Parse(link); err == nil && u.Host != "" {
		path = strings.TrimPrefix(u.Path, "/")
	}
	path = strings.TrimPrefix(path, "compute/v1/")
	for _, scope := range []string{"global/", "regions/", "zones/"} {
		if strings.HasPrefix(path, scope) {
			path = "projects/" + ProjectID + "/" + path
		}
	}
	path = strings.Replace(path, "projects/"+projectNumber+"/", "projects/"+ProjectID+"/", 1)
	if !strings.HasPrefix(path, "projects/"+ProjectID+"/") {
		return "", false
	}
	return path, true
}

// refer finds the resource that a field names. It must be ready.
func refer(tx *world.Tx, field, link, wanted string) (resource, error) {
	path, ok := linkPath(link)
	parts := strings.Split(path, "/")
	if !ok || len(parts) < 5 || parts[len(parts)-2] != wanted {
		return resource{}, invalidField(field, link, "The URL is malformed.")
	}
	scope := strings.Join(parts[2:len(parts)-2], "/")
	found, err := world.Get[resource](tx, key(scope, wanted, parts[len(parts)-1]))
	if isNotFound(err) {
		return found, noResource(path)
	}
	if err == nil && found.Busy != "" {
		return found, notReady(path)
	}
	return found, err
}

// userOf is the path of something that keeps a resource from being removed, "" if nothing does.
func userOf(tx *world.Tx, of resource) (string, error) {
	link := of.link()
	for _, c := range collections {
		all, err := world.List[resource](tx, ref(c.name, ""))
		if err != nil {
			return "", err
		}
		for _, one := range all {
			if refersTo(one.Doc, link) && one.path() != of.path() {
				return one.path(), nil
			}
		}
	}
	return clusterUsing(tx, link)
}

// refersTo says whether a document has the link in any of its fields.
func refersTo(value any, link string) bool {
	switch v := value.(type) {
	case string:
		return v == link
	case document:
		for field, inner := range v {
			if field != "description" && refersTo(inner, link) {
				return true
			}
		}
	case map[string]any:
		return refersTo(document(v), link)
	case []any:
		return slices.ContainsFunc(v, func(inner any) bool { return refersTo(inner, link) })
	}
	return false
}

// clusterUsing is a cluster's node, or the cluster, that lives in a network or subnetwork.
func clusterUsing(tx *world.Tx, link string) (string, error) {
	all, err := world.List[cluster](tx, ref(kindCluster, ""))
	if err != nil {
		return "", err
	}
	for _, one := range all {
		config := one.Doc.M.GetNetworkConfig()
		if computeLink(config.GetNetwork()) != link && computeLink(config.GetSubnetwork()) != link {
			continue
		}
		nodes, err := world.Children[node](tx, ref(kindNode, one.ID))
		if err != nil {
			return "", err
		}
		if len(nodes) > 0 {
			return pathOf(zoneS+"/"+nodes[0].Zone, "instances", nodes[0].Name), nil
		}
		return fmt.Sprintf("projects/%s/regions/%s/forwardingRules/gke-%s-%s-pe", ProjectID, regionName(one.Location), one.Name, one.hash()), nil
	}
	return "", nil
}
