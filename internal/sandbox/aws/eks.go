package aws

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/m3o/platform/internal/sandbox/world"
)

const (
	onClusters     = "/clusters"
	onCluster      = onClusters + "/{name}"
	onNodegroups   = onCluster + "/node-groups"
	onNodegroup    = onNodegroups + "/{nodegroupName}"
	onAddons       = onCluster + "/addons"
	onAddon        = onAddons + "/{addonName}"
	onEntries      = onCluster + "/access-entries"
	onEntry        = onEntries + "/{principalArn}"
	onPolicies     = onEntry + "/access-policies"
	onAssociations = onCluster + "/pod-identity-associations"
	onAssociation  = onAssociations + "/{associationId}"
	onUpdates      = onCluster + "/updates"
)

// eksService is EKS: managed Kubernetes.
func eksService() *service {
	s := &service{scope: "eks", prefix: "eks", words: eksWords, protocol: restJSON{},
		operations: slices.Concat(clusterOperations, nodegroupOperations, addonOperations, entryOperations, associationOperations)}
	return s.route()
}

// stamp is a time as EKS writes it: seconds, as a number.
type stamp struct{ time.Time }

func (s stamp) MarshalJSON() ([]byte, error) {
	return []byte(strconv.FormatFloat(float64(s.UnixMilli())/1000, 'f', 3, 64)), nil
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *stamp) UnmarshalJSON(data []byte) error {
	seconds, err := strconv.ParseFloat(string(data), 64)
	s.Time = time.UnixMilli(int64(seconds*1000 + 0.5)).UTC()
	return err
}

// issue is what is wrong with something.
type issue struct {
	Code      string   `json:"code"`
	Message   string   `json:"message"`
	Resources []string `json:"resourceIds"`
}

type health struct {
	Issues []issue `json:"issues"`
}

func ill(code, message string, resources ...string) health {
	return health{Issues: []issue{{code, message, append([]string{}, resources...)}}}
}

var healthy = health{Issues: []issue{}}

// newUUID is a random UUID, as updates and clusters have.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	t := hex.EncodeToString(b[:])
	return fmt.Sprintf("%s-%s-%s-%s-%s", t[:8], t[8:12], t[12:16], t[16:20], t[20:])
}

// clusterKey is what a cluster is kept by: names are unique in a region.
func clusterKey(region, name string) string { return region + "/" + name }

func noCluster(name string) error {
	return refuseAs(404, "ResourceNotFoundException", "No cluster found for name: %.110s.", name)
}

// cluster loads the cluster of the path.
func (x *exchange) cluster(tx *world.Tx) (cluster, error) {
	name := x.Request.PathValue("name")
	c, err := world.Get[cluster](tx, ref(kindCluster, clusterKey(x.region, name)))
	if isNotFound(err) {
		return c, noCluster(name)
	}
	return c, err
}

// activeCluster loads the cluster of the path, which must be able to take changes.
func (x *exchange) activeCluster(tx *world.Tx) (cluster, error) {
	c, err := x.cluster(tx)
	if err == nil && c.Shown.Status != statusActive && c.Shown.Status != statusUpdating {
		err = with(refuse("InvalidRequestException", "Cluster %s is not in ACTIVE status: it is %s", c.Shown.Name, c.Shown.Status), "clusterName", c.Shown.Name)
	}
	return c, err
}

// pageOf cuts a list of names to the page that is asked for.
func (x *exchange) pageOf(member string, names []string) (any, error) {
	query := x.Request.URL.Query()
	most := 100
	if text := query.Get("maxResults"); text != "" {
		var err error
		if most, err = strconv.Atoi(text); err != nil || most < 1 || most > 100 {
			return nil, refuse("InvalidParameterException", "maxResults needs to be 100 or less")
		}
	}
	from, err := readToken(query.Get("nextToken"), len(names))
	if err != nil {
		return nil, refuse("InvalidParameterException", "nextToken is invalid")
	}
	to := min(len(names), from+most)
	answer := map[string]any{member: append([]string{}, names[from:to]...)}
	if to < len(names) {
		answer["nextToken"] = pageToken(to)
	}
	return answer, nil
}

// checkRole refuses a role that cannot be assumed, or was made so recently that EKS has not heard of it.
func (x *exchange) checkRole(tx *world.Tx, arn, service string) error {
	r, err := roleByARN(tx, arn)
	if err != nil && !isNotFound(err) {
		return err
	}
	if err != nil || !r.trusts(service, x.At) {
		return refuse("InvalidParameterException", "Role with arn: %.300s, could not be assumed because it does not exist or the trusted entity is not correct", arn)
	}
	return nil
}

// update is a change under way, or one that is over.
type update struct {
	Cluster   string      `json:"-"`
	ID        string      `json:"id"`
	Status    string      `json:"status"`
	Type      string      `json:"type"`
	Params    []parameter `json:"params"`
	CreatedAt stamp       `json:"createdAt"`
	Errors    []failure   `json:"errors"`
}

type parameter struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

type failure struct {
	Code      string   `json:"errorCode"`
	Message   string   `json:"errorMessage"`
	Resources []string `json:"resourceIds"`
}

// keptUpdate is an update with what it is about.
type keptUpdate struct {
	Update  update
	Cluster string
	// About is the node group or add-on that it changes, if not the cluster.
	About string
}

func (x *exchange) newUpdate(kind string, params ...parameter) update {
	return update{ID: newUUID(), Status: "InProgress", Type: kind, Params: append([]parameter{}, params...), CreatedAt: stamp{x.At}, Errors: []failure{}}
}

func putUpdate(tx *world.Tx, u keptUpdate) error {
	return tx.Put(ref(kindUpdate, u.Update.ID), world.Meta{Name: u.Update.ID, Parent: u.Cluster}, u)
}

// endUpdate says how an update went. message is why it failed, if it did.
func endUpdate(tx *world.Tx, id, message string) error {
	u, err := world.Get[keptUpdate](tx, ref(kindUpdate, id))
	if err != nil {
		return ignoreMissing(err)
	}
	u.Update.Status = "Successful"
	if message != "" {
		u.Update.Status, u.Update.Errors = "Failed", []failure{{"Unknown", message, []string{}}}
	}
	return putUpdate(tx, u)
}

func describeUpdate(x *exchange) (any, error) {
	query := x.Request.URL.Query()
	var u keptUpdate
	err := x.view(func(tx *world.Tx) error {
		c, err := x.cluster(tx)
		if err != nil {
			return err
		}
		id := x.Request.PathValue("updateId")
		u, err = world.Get[keptUpdate](tx, ref(kindUpdate, id))
		if isNotFound(err) || err == nil && (u.Cluster != c.Key() || u.About != query.Get("nodegroupName")+query.Get("addonName")) {
			return refuseAs(404, "ResourceNotFoundException", "No update found for ID: %.40s", id)
		}
		return err
	})
	return map[string]any{"update": u.Update}, err
}

func listUpdates(x *exchange) (any, error) {
	query := x.Request.URL.Query()
	var ids []string
	err := x.view(func(tx *world.Tx) error {
		c, err := x.cluster(tx)
		if err != nil {
			return err
		}
		list, err := within(tx, kindUpdate, c.Key(), func(u keptUpdate) bool { return u.About == query.Get("nodegroupName")+query.Get("addonName") })
		for _, u := range list {
			ids = append(ids, u.Update.ID)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return x.pageOf("updateIds", ids)
}

// checkEKSTags says what is wrong with the tags of a request.
func checkEKSTags(m map[string]string) error {
	if err := checkTags(tagsOf(m)); err != nil {
		return refuse("InvalidParameterException", "%v", err)
	}
	return nil
}
