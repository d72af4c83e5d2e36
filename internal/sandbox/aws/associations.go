package aws

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/sandbox/world"
)

var associationOperations = []operation{
	{name: "CreatePodIdentityAssociation", route: "POST " + onAssociations, handle: createAssociation},
	{name: "ListPodIdentityAssociations", route: "GET " + onAssociations, handle: listAssociations},
	{name: "DescribePodIdentityAssociation", route: "GET " + onAssociation, handle: describeAssociation},
	{name: "UpdatePodIdentityAssociation", route: "POST " + onAssociation, handle: updateAssociation},
	{name: "DeletePodIdentityAssociation", route: "DELETE " + onAssociation, handle: deleteAssociation},
}

// association is a pod identity association, as it is kept and as it is shown.
type association struct {
	Cluster   string            `json:"clusterName"`
	Namespace string            `json:"namespace"`
	Account   string            `json:"serviceAccount"`
	Role      string            `json:"roleArn"`
	ARN       string            `json:"associationArn"`
	ID        string            `json:"associationId"`
	Tags      map[string]string `json:"tags"`
	CreatedAt stamp             `json:"createdAt"`
	Changed   stamp             `json:"modifiedAt"`
	Owner     string            `json:"ownerArn,omitempty"`
}

// addAssociation completes an association and keeps it.
func (x *exchange) addAssociation(tx *world.Tx, c cluster, a association) (association, error) {
	same, err := within(tx, kindAssociation, c.Key(), func(o association) bool { return o.Namespace == a.Namespace && o.Account == a.Account })
	if err != nil {
		return a, err
	}
	if len(same) > 0 {
		return a, refuseAs(409, "ResourceInUseException", "Association already exists: %s", same[0].ID)
	}
	r, err := roleByARN(tx, a.Role)
	if err != nil && !isNotFound(err) {
		return a, err
	}
	if err != nil || !r.trusts("pods.eks.amazonaws.com", x.At) {
		return a, invalid("Trust policy of role %.300s does not allow pods.eks.amazonaws.com to assume it, or the role does not exist", a.Role)
	}
	var random [10]byte
	_, _ = rand.Read(random[:]) // never fails
	a.Cluster, a.ID = c.Shown.Name, "a-"+strings.ToLower(base32.StdEncoding.EncodeToString(random[:]))
	a.ARN = x.arn("eks", "podidentityassociation/"+c.Shown.Name+"/"+a.ID)
	a.CreatedAt, a.Changed = stamp{x.At}, stamp{x.At}
	if a.Tags == nil {
		a.Tags = map[string]string{}
	}
	effect := x.Effect(world.Created, kindAssociation, a.ARN, c.Shown.Name+"/"+a.Namespace+"/"+a.Account)
	effect.Tags, effect.Parent = tagsOf(a.Tags).texts(), c.Shown.ARN
	return a, errors.Join(putAssociation(tx, c, a), tx.Record(effect))
}

func putAssociation(tx *world.Tx, c cluster, a association) error {
	return tx.Put(ref(kindAssociation, a.ID), world.Meta{Name: a.Namespace + "/" + a.Account, Parent: c.Key()}, a)
}

func createAssociation(x *exchange) (any, error) {
	var asked struct {
		Namespace string            `json:"namespace"`
		Account   string            `json:"serviceAccount"`
		Role      string            `json:"roleArn"`
		Token     string            `json:"clientRequestToken"`
		Tags      map[string]string `json:"tags"`
	}
	if err := x.decode(&asked); err != nil {
		return nil, err
	}
	if asked.Namespace == "" || asked.Account == "" {
		return nil, invalid("namespace and serviceAccount are required")
	}
	if err := checkEKSTags(asked.Tags); err != nil {
		return nil, err
	}
	var a association
	err := x.commit(func(tx *world.Tx) error {
		c, err := x.activeCluster(tx)
		if err != nil {
			return err
		}
		a, err = x.addAssociation(tx, c, association{Namespace: asked.Namespace, Account: asked.Account, Role: asked.Role, Tags: asked.Tags})
		return err
	})
	return map[string]any{"association": a}, err
}

func listAssociations(x *exchange) (any, error) {
	query := x.Request.URL.Query()
	list := []map[string]string{}
	err := x.view(func(tx *world.Tx) error {
		c, err := x.cluster(tx)
		if err != nil {
			return err
		}
		found, err := within(tx, kindAssociation, c.Key(), func(a association) bool {
			return (query.Get("namespace") == "" || query.Get("namespace") == a.Namespace) && (query.Get("serviceAccount") == "" || query.Get("serviceAccount") == a.Account)
		})
		for _, a := range found {
			row := map[string]string{"clusterName": a.Cluster, "namespace": a.Namespace, "serviceAccount": a.Account, "associationArn": a.ARN, "associationId": a.ID}
			if a.Owner != "" {
				row["ownerArn"] = a.Owner
			}
			list = append(list, row)
		}
		return err
	})
	return map[string]any{"associations": list}, err
}

func (x *exchange) association(tx *world.Tx) (cluster, association, error) {
	c, err := x.cluster(tx)
	if err != nil {
		return c, association{}, err
	}
	id := x.Request.PathValue("associationId")
	a, err := world.Get[association](tx, ref(kindAssociation, id))
	if isNotFound(err) || err == nil && a.Cluster != c.Shown.Name {
		err = refuseAs(404, "ResourceNotFoundException", "The association %.60s was not found on cluster %s", id, c.Shown.Name)
	}
	return c, a, err
}

func describeAssociation(x *exchange) (any, error) {
	var a association
	err := x.view(func(tx *world.Tx) (err error) {
		_, a, err = x.association(tx)
		return err
	})
	return map[string]any{"association": a}, err
}

func updateAssociation(x *exchange) (any, error) {
	var asked struct {
		Role  string `json:"roleArn"`
		Token string `json:"clientRequestToken"`
	}
	if err := x.decode(&asked); err != nil {
		return nil, err
	}
	var a association
	err := x.commit(func(tx *world.Tx) error {
		c, found, err := x.association(tx)
		if err != nil {
			return err
		}
		a = found
		a.Role, a.Changed = asked.Role, stamp{x.At}
		return errors.Join(putAssociation(tx, c, a), x.record(tx, world.Updated, kindAssociation, a.ARN, c.Shown.Name+"/"+a.Namespace+"/"+a.Account, tagsOf(a.Tags)))
	})
	return map[string]any{"association": a}, err
}

func deleteAssociation(x *exchange) (any, error) {
	var a association
	err := x.commit(func(tx *world.Tx) error {
		c, found, err := x.association(tx)
		if err != nil {
			return err
		}
		a = found
		return endAssociation(tx, c, a, x.Effect(world.Deleted, kindAssociation, a.ARN, ""))
	})
	return map[string]any{"association": a}, err
}

func endAssociation(tx *world.Tx, c cluster, a association, effect world.Effect) error {
	effect.Provider, effect.Kind, effect.Resource, effect.ID = Name, world.Deleted, kindAssociation, a.ARN
	effect.Name, effect.Tags, effect.Parent = c.Shown.Name+"/"+a.Namespace+"/"+a.Account, tagsOf(a.Tags).texts(), c.Shown.ARN
	return errors.Join(tx.Delete(ref(kindAssociation, a.ID)), tx.Record(effect))
}

// standardVersions is how many versions are in standard support at a time: each is for fourteen months, and every four months there is
// a new one (the EKS user guide, "Kubernetes versions").
const standardVersions = 4

// describeVersions lists the versions on offer. The newest is the default, as it is there some weeks after its release.
func describeVersions(x *exchange) (any, error) {
	query := x.Request.URL.Query()
	wanted := query["clusterVersions"]
	list := []map[string]any{}
	for i, minor := range x.cloud.Versions {
		status, old := "STANDARD_SUPPORT", "standard-support"
		if i >= standardVersions {
			status, old = "EXTENDED_SUPPORT", "extended-support"
		}
		if len(wanted) > 0 && !slices.Contains(wanted, minor) || query.Get("defaultOnly") == "true" && i > 0 ||
			query.Get("versionStatus") != "" && query.Get("versionStatus") != status || query.Get("status") != "" && query.Get("status") != old {
			continue
		}
		released := x.At.AddDate(0, -1-4*i, 0)
		list = append(list, map[string]any{"clusterVersion": minor, "clusterType": "eks", "defaultPlatformVersion": "eks.1", "defaultVersion": i == 0,
			"releaseDate": stamp{released}, "endOfStandardSupportDate": stamp{released.AddDate(0, 14, 0)}, "endOfExtendedSupportDate": stamp{released.AddDate(0, 26, 0)},
			"status": old, "versionStatus": status, "kubernetesPatchVersion": minor + ".0"})
	}
	return map[string]any{"clusterVersions": list}, nil
}

// tagged finds what an ARN names, and gives its tags to how, which may change them.
func (x *exchange) tagged(tx *world.Tx, how func(map[string]string) error) error {
	arn := x.Request.PathValue("resourceArn")
	_, rest, _ := strings.Cut(arn, ":"+x.region+":"+x.cloud.Account+":")
	parts := strings.Split(rest, "/")
	gone := refuseAs(404, "NotFoundException", "The resource %.300s was not found", arn)
	if len(parts) < 2 {
		return refuse("BadRequestException", "The ARN %.300s is not one of EKS", arn)
	}
	key := clusterKey(x.region, parts[1])
	switch {
	case parts[0] == "cluster" && len(parts) == 2:
		c, err := world.Get[cluster](tx, ref(kindCluster, key))
		if isNotFound(err) {
			return gone
		}
		return errors.Join(err, how(c.Shown.Tags), putCluster(tx, c))
	case parts[0] == "nodegroup" && len(parts) == 4:
		n, err := world.Get[nodegroup](tx, ref(kindNodegroup, key+"/"+parts[2]))
		if isNotFound(err) || n.Shown.ARN != arn {
			return gone
		}
		return errors.Join(err, how(n.Shown.Tags), putNodegroup(tx, n))
	case parts[0] == "addon" && len(parts) == 4:
		a, err := world.Get[addon](tx, ref(kindAddon, key+"/"+parts[2]))
		if isNotFound(err) || a.Shown.ARN != arn {
			return gone
		}
		return errors.Join(err, how(a.Shown.Tags), putAddon(tx, a))
	}
	return gone
}

func tagResource(x *exchange) (any, error) {
	var asked struct {
		Tags map[string]string `json:"tags"`
	}
	if err := x.decode(&asked); err != nil {
		return nil, err
	}
	if err := checkTags(tagsOf(asked.Tags)); err != nil {
		return nil, refuse("BadRequestException", "%v", err)
	}
	return nil, x.commit(func(tx *world.Tx) error {
		return x.tagged(tx, func(t map[string]string) error {
			maps.Copy(t, asked.Tags)
			return nil
		})
	})
}

func untagResource(x *exchange) (any, error) {
	return nil, x.commit(func(tx *world.Tx) error {
		return x.tagged(tx, func(t map[string]string) error {
			for _, key := range x.Request.URL.Query()["tagKeys"] {
				delete(t, key)
			}
			return nil
		})
	})
}

func listTags(x *exchange) (any, error) {
	got := map[string]string{}
	err := x.view(func(tx *world.Tx) error {
		return x.tagged(tx, func(t map[string]string) error {
			maps.Copy(got, t)
			return nil
		})
	})
	return map[string]any{"tags": got}, err
}

// aboutEKS finds what a request of EKS is about, for policies.
func (x *exchange) aboutEKS() (given tags, resource string, has tags, err error) {
	given, resource = bodyTags(x.body), "*"
	name := x.Request.PathValue("name")
	if name == "" {
		return given, resource, nil, nil
	}
	resource = x.arn("eks", "cluster/"+name)
	err = x.View(func(tx *world.Tx) error {
		c, err := world.Get[cluster](tx, ref(kindCluster, clusterKey(x.region, name)))
		has = tagsOf(c.Shown.Tags)
		return ignoreMissing(err)
	})
	return given, resource, has, err
}
