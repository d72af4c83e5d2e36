package aws

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/sandbox/world"
)

var entryOperations = []operation{
	{name: "CreateAccessEntry", route: "POST " + onEntries, handle: createEntry},
	{name: "ListAccessEntries", route: "GET " + onEntries, handle: listEntries},
	{name: "DescribeAccessEntry", route: "GET " + onEntry, handle: describeEntry},
	{name: "DeleteAccessEntry", route: "DELETE " + onEntry, handle: deleteEntry},
	{name: "AssociateAccessPolicy", route: "POST " + onPolicies, handle: associatePolicy},
	{name: "ListAssociatedAccessPolicies", route: "GET " + onPolicies, handle: listAssociated},
	{name: "DisassociateAccessPolicy", route: "DELETE " + onPolicies + "/{policyArn}", handle: disassociatePolicy},
	{name: "ListAccessPolicies", route: "GET /access-policies", handle: listPolicies},
}

const accessPolicyPrefix = "arn:aws:eks::aws:cluster-access-policy/"

// accessPolicies are those of EKS, with the groups that stand for them in the sandbox's clusters: the real ones are not in RBAC, but
// the built-in groups and roles are what they come to.
var accessPolicies = map[string][]string{
	"AmazonEKSClusterAdminPolicy": {"system:masters"},
	"AmazonEKSAdminPolicy":        {"eks:admin"},
	"AmazonEKSEditPolicy":         {"eks:edit"},
	"AmazonEKSViewPolicy":         {"eks:view"},
	"AmazonEKSAdminViewPolicy":    {"eks:admin-view"},
}

// entry is an access entry as it is kept.
type entry struct {
	Shown    shownEntry
	Cluster  string // its key
	Token    string
	Policies []associatedPolicy
}

// Key is what the entry is kept by.
func (e entry) Key() string { return e.Cluster + "/" + e.Shown.Principal }

// shownEntry is an access entry as EKS shows it.
type shownEntry struct {
	Cluster    string            `json:"clusterName"`
	Principal  string            `json:"principalArn"`
	Groups     []string          `json:"kubernetesGroups"`
	ARN        string            `json:"accessEntryArn"`
	CreatedAt  stamp             `json:"createdAt"`
	ModifiedAt stamp             `json:"modifiedAt"`
	Tags       map[string]string `json:"tags"`
	Username   string            `json:"username"`
	Type       string            `json:"type"`
}

type associatedPolicy struct {
	ARN     string      `json:"policyArn"`
	Scope   accessScope `json:"accessScope"`
	At      stamp       `json:"associatedAt"`
	Changed stamp       `json:"modifiedAt"`
}

type accessScope struct {
	Type       string   `json:"type"`
	Namespaces []string `json:"namespaces"`
}

func putEntry(tx *world.Tx, e entry) error {
	return tx.Put(ref(kindEntry, e.Key()), world.Meta{Name: e.Shown.Principal, Parent: e.Cluster}, e)
}

var principalARN = regexp.MustCompile(`^arn:aws:iam::[0-9]{12}:(user|role)/(?:[\w+=,.@-]+/)*([\w+=,.@-]+)$`)

// addEntry completes an entry and keeps it.
func (x *exchange) addEntry(tx *world.Tx, c cluster, e entry) error {
	parts := principalARN.FindStringSubmatch(e.Shown.Principal)
	if parts == nil {
		return invalid("The principalArn parameter format is not valid")
	}
	e.Cluster, e.Shown.Cluster = c.Key(), c.Shown.Name
	e.Shown.ARN = x.arn("eks", "access-entry/"+c.Shown.Name+"/"+parts[1]+"/"+x.cloud.Account+"/"+parts[2]+"/"+newUUID())
	e.Shown.CreatedAt, e.Shown.ModifiedAt = stamp{x.At}, stamp{x.At}
	if e.Shown.Username == "" {
		e.Shown.Username = e.Shown.Principal
		if parts[1] == "role" {
			e.Shown.Username = "arn:aws:sts::" + x.cloud.Account + ":assumed-role/" + parts[2] + "/{{SessionName}}"
		}
	}
	if e.Shown.Groups == nil {
		e.Shown.Groups = []string{}
	}
	if e.Shown.Tags == nil {
		e.Shown.Tags = map[string]string{}
	}
	effect := x.Effect(world.Created, kindEntry, e.Shown.ARN, c.Shown.Name+"/"+e.Shown.Principal)
	effect.Tags, effect.Parent = tagsOf(e.Shown.Tags).texts(), c.Shown.ARN
	return errors.Join(putEntry(tx, e), tx.Record(effect))
}

func createEntry(x *exchange) (any, error) {
	var asked struct {
		Principal string            `json:"principalArn"`
		Groups    []string          `json:"kubernetesGroups"`
		Tags      map[string]string `json:"tags"`
		Token     string            `json:"clientRequestToken"`
		Username  string            `json:"username"`
		Type      string            `json:"type"`
	}
	if err := x.decode(&asked); err != nil {
		return nil, err
	}
	if asked.Type == "" {
		asked.Type = "STANDARD"
	}
	if asked.Type != "STANDARD" {
		return nil, invalid("The sandbox's access entries have the type STANDARD, not %.20q", asked.Type)
	}
	if slices.ContainsFunc(asked.Groups, func(g string) bool { return strings.HasPrefix(g, "system:") }) {
		return nil, invalid("The kubernetes group name %s is invalid, it cannot start with system:", joined(asked.Groups))
	}
	if err := checkEKSTags(asked.Tags); err != nil {
		return nil, err
	}
	var e entry
	err := x.commit(func(tx *world.Tx) error {
		c, err := x.activeCluster(tx)
		if err != nil {
			return err
		}
		if c.Shown.AccessConfig.Mode == inConfigMap {
			return refuse("InvalidRequestException", "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this operation.")
		}
		if err := x.principalExists(tx, asked.Principal); err != nil {
			return err
		}
		e, err = world.Get[entry](tx, ref(kindEntry, c.Key()+"/"+asked.Principal))
		switch {
		case err == nil && asked.Token != "" && e.Token == asked.Token:
			return nil
		case err == nil:
			return refuseAs(409, "ResourceInUseException", "The specified access entry resource is already in use on this cluster.")
		case !isNotFound(err):
			return err
		}
		e = entry{Token: asked.Token, Shown: shownEntry{Principal: asked.Principal, Groups: asked.Groups, Tags: asked.Tags, Username: asked.Username, Type: asked.Type}}
		if err := x.addEntry(tx, c, e); err != nil {
			return err
		}
		e, err = world.Get[entry](tx, ref(kindEntry, c.Key()+"/"+asked.Principal))
		return err
	})
	return map[string]any{"accessEntry": e.Shown}, err
}

// principalExists refuses a principal that IAM does not know.
func (x *exchange) principalExists(tx *world.Tx, arn string) error {
	if arn == x.cloud.user() {
		return nil
	}
	_, err := roleByARN(tx, arn)
	if isNotFound(err) {
		return invalid("The specified principalArn is invalid: invalid principal. (%.300s)", arn)
	}
	return err
}

// entry loads the access entry of the path.
func (x *exchange) entry(tx *world.Tx) (cluster, entry, error) {
	c, err := x.cluster(tx)
	if err != nil {
		return c, entry{}, err
	}
	e, err := world.Get[entry](tx, ref(kindEntry, c.Key()+"/"+x.Request.PathValue("principalArn")))
	if isNotFound(err) {
		err = refuseAs(404, "ResourceNotFoundException", "The specified principalArn could not be found. You can view your available access entries with 'list-access-entries'.")
	}
	return c, e, err
}

func listEntries(x *exchange) (any, error) {
	var names []string
	policy := x.Request.URL.Query().Get("associatedPolicyArn")
	err := x.view(func(tx *world.Tx) error {
		c, err := x.cluster(tx)
		if err != nil {
			return err
		}
		list, err := within(tx, kindEntry, c.Key(), func(e entry) bool {
			return policy == "" || slices.ContainsFunc(e.Policies, func(p associatedPolicy) bool { return p.ARN == policy })
		})
		for _, e := range list {
			names = append(names, e.Shown.Principal)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return x.pageOf("accessEntries", names)
}

func describeEntry(x *exchange) (any, error) {
	var e entry
	err := x.view(func(tx *world.Tx) (err error) {
		_, e, err = x.entry(tx)
		return err
	})
	return map[string]any{"accessEntry": e.Shown}, err
}

func deleteEntry(x *exchange) (any, error) {
	err := x.commit(func(tx *world.Tx) error {
		c, e, err := x.entry(tx)
		if err != nil {
			return err
		}
		return errors.Join(tx.Delete(ref(kindEntry, e.Key())), x.record(tx, world.Deleted, kindEntry, e.Shown.ARN, c.Shown.Name+"/"+e.Shown.Principal, tagsOf(e.Shown.Tags)))
	})
	return nil, err
}

func associatePolicy(x *exchange) (any, error) {
	var asked struct {
		Policy string      `json:"policyArn"`
		Scope  accessScope `json:"accessScope"`
	}
	if err := x.decode(&asked); err != nil {
		return nil, err
	}
	name, isOurs := strings.CutPrefix(asked.Policy, accessPolicyPrefix)
	if _, known := accessPolicies[name]; !known || !isOurs {
		return nil, refuseAs(http.StatusNotFound, "ResourceNotFoundException", "The specified policyArn could not be found: %.200s. You can view available policies with 'list-access-policies'.", asked.Policy)
	}
	if asked.Scope.Type != "cluster" || len(asked.Scope.Namespaces) > 0 {
		return nil, invalid("The sandbox associates access policies with the scope cluster only")
	}
	made := associatedPolicy{ARN: asked.Policy, Scope: accessScope{Type: "cluster", Namespaces: []string{}}, At: stamp{x.At}, Changed: stamp{x.At}}
	var e entry
	err := x.commit(func(tx *world.Tx) error {
		c, found, err := x.entry(tx)
		if err != nil {
			return err
		}
		e = found
		if i := slices.IndexFunc(e.Policies, func(p associatedPolicy) bool { return p.ARN == made.ARN }); i >= 0 {
			made = e.Policies[i] // once more is fine there
			return nil
		}
		e.Policies = append(e.Policies, made)
		return errors.Join(putEntry(tx, e), x.record(tx, world.Updated, kindEntry, e.Shown.ARN, c.Shown.Name+"/"+e.Shown.Principal, nil))
	})
	return map[string]any{"clusterName": e.Shown.Cluster, "principalArn": e.Shown.Principal, "associatedAccessPolicy": made}, err
}

func listAssociated(x *exchange) (any, error) {
	var e entry
	err := x.view(func(tx *world.Tx) (err error) {
		_, e, err = x.entry(tx)
		return err
	})
	return map[string]any{"clusterName": e.Shown.Cluster, "principalArn": e.Shown.Principal, "associatedAccessPolicies": append([]associatedPolicy{}, e.Policies...)}, err
}

func disassociatePolicy(x *exchange) (any, error) {
	err := x.commit(func(tx *world.Tx) error {
		c, e, err := x.entry(tx)
		if err != nil {
			return err
		}
		before := len(e.Policies)
		e.Policies = slices.DeleteFunc(e.Policies, func(p associatedPolicy) bool { return p.ARN == x.Request.PathValue("policyArn") })
		if len(e.Policies) == before {
			return refuseAs(404, "ResourceNotFoundException", "The specified policyArn is not associated with the access entry.")
		}
		return errors.Join(putEntry(tx, e), x.record(tx, world.Updated, kindEntry, e.Shown.ARN, c.Shown.Name+"/"+e.Shown.Principal, nil))
	})
	return nil, err
}

func listPolicies(*exchange) (any, error) {
	list := []map[string]string{}
	for name := range accessPolicies {
		list = append(list, map[string]string{"name": name, "arn": accessPolicyPrefix + name})
	}
	slices.SortFunc(list, func(a, b map[string]string) int { return strings.Compare(a["name"], b["name"]) })
	return map[string]any{"accessPolicies": list}, nil
}
