package aws

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/sandbox/world"
)

var addonOperations = []operation{
	{name: "CreateAddon", route: "POST " + onAddons, handle: createAddon},
	{name: "ListAddons", route: "GET " + onAddons, handle: listAddons},
	{name: "DescribeAddon", route: "GET " + onAddon, handle: describeAddon},
	{name: "UpdateAddon", route: "POST " + onAddon + "/update", handle: updateAddon},
	{name: "DeleteAddon", route: "DELETE " + onAddon, handle: deleteAddon},
	{name: "DescribeAddonVersions", route: "GET /addons/supported-versions", handle: describeAddonVersions},
}

// addonKind is an add-on of AWS that clusters can have.
type addonKind struct {
	name, kind string
	// version is followed by the number of the build.
	version string
	// replicas says that it is a Deployment, which never runs without nodes; the others are DaemonSets, which are fine without.
	replicas bool
	// account is the service account that it acts by, policy what that needs of the account, if anything.
	account, policy string
	// settings are the top members of its configuration that the sandbox knows.
	settings []string
}

// addonKinds and their versions are those of the EKS user guide, "Amazon EKS add-ons" (2026-11).
var addonKinds = []addonKind{
	{name: "vpc-cni", kind: "networking", version: "v1.21.1-eksbuild.1", account: "aws-node", policy: "AmazonEKS_CNI_Policy",
		settings: []string{"enableNetworkPolicy", "env", "nodeAgent", "tolerations", "resources", "init"}},
	{name: "kube-proxy", kind: "networking", version: "-eksbuild.2", settings: []string{"mode", "resources", "ipvs"}},
	{name: "coredns", kind: "networking", version: "v1.13.1-eksbuild.1", replicas: true, settings: []string{"replicaCount", "resources", "tolerations", "corefile", "affinity"}},
	{name: "eks-pod-identity-agent", kind: "security", version: "v1.3.10-eksbuild.1", settings: []string{"agent", "resources", "tolerations"}},
	{name: "aws-ebs-csi-driver", kind: "storage", version: "v1.53.0-eksbuild.1", replicas: true, account: "ebs-csi-controller-sa", policy: "service-role/AmazonEBSCSIDriverPolicy",
		settings: []string{"defaultStorageClass", "controller", "node", "sidecars"}},
}

func findAddon(name string) (addonKind, bool) {
	i := slices.IndexFunc(addonKinds, func(k addonKind) bool { return k.name == name })
	if i < 0 {
		return addonKind{}, false
	}
	return addonKinds[i], true
}

// versionFor is the add-on's version for a version of Kubernetes; kube-proxy has that of the cluster.
func (k addonKind) versionFor(kubernetes string) string {
	if k.name == "kube-proxy" {
		return "v" + kubernetes + ".0" + k.version
	}
	return k.version
}

// addon is an add-on of a cluster as it is kept.
type addon struct {
	Shown      shownAddon
	Cluster    string // its key
	Token      string
	Resolve    string
	Transition world.Transition
	Update     string
}

// Key is what the add-on is kept by.
func (a addon) Key() string { return a.Cluster + "/" + a.Shown.Name }

// title is what it is called in the ledger: names repeat between clusters.
func (a addon) title() string { return a.Shown.Cluster + "/" + a.Shown.Name }

// shownAddon is an add-on as EKS shows it.
type shownAddon struct {
	Name          string            `json:"addonName"`
	Cluster       string            `json:"clusterName"`
	Status        string            `json:"status"`
	Version       string            `json:"addonVersion"`
	Health        health            `json:"health"`
	ARN           string            `json:"addonArn"`
	CreatedAt     stamp             `json:"createdAt"`
	ModifiedAt    stamp             `json:"modifiedAt"`
	Role          string            `json:"serviceAccountRoleArn,omitempty"`
	Tags          map[string]string `json:"tags"`
	Configuration string            `json:"configurationValues,omitempty"`
	Associations  []string          `json:"podIdentityAssociations,omitempty"`
}

type addonRequest struct {
	Name          string             `json:"addonName"`
	Version       string             `json:"addonVersion"`
	Role          string             `json:"serviceAccountRoleArn"`
	Resolve       string             `json:"resolveConflicts"`
	Token         string             `json:"clientRequestToken"`
	Tags          map[string]string  `json:"tags"`
	Configuration string             `json:"configurationValues"`
	Associations  []addonAssociation `json:"podIdentityAssociations"`
}

type addonAssociation struct {
	Account string `json:"serviceAccount"`
	Role    string `json:"roleArn"`
}

// check says what is wrong with a request in view of the cluster's version.
func (r addonRequest) check(kubernetes string) (addonKind, error) {
	kind, known := findAddon(r.Name)
	if !known {
		return kind, invalid("Addon %.60s is not supported. (The sandbox has fewer than there are.)", r.Name)
	}
	if r.Version != "" && r.Version != kind.versionFor(kubernetes) {
		return kind, invalid("Addon version specified is not supported: %.60s", r.Version)
	}
	if r.Resolve != "" && !slices.Contains([]string{"NONE", "OVERWRITE", "PRESERVE"}, r.Resolve) {
		return kind, invalid("resolveConflicts %.20q is none of NONE, OVERWRITE, PRESERVE", r.Resolve)
	}
	for _, a := range r.Associations {
		if a.Account != kind.account {
			return kind, invalid("Add-on %s has no service account %.60q for a pod identity association", r.Name, a.Account)
		}
	}
	if err := kind.checkSettings(r.Configuration); err != nil {
		return kind, err
	}
	return kind, checkEKSTags(r.Tags)
}

// checkSettings refuses a configuration that does not follow the add-on's schema, as far as the sandbox knows it.
func (k addonKind) checkSettings(text string) error {
	if text == "" {
		return nil
	}
	var settings map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &settings); err != nil {
		return invalid("ConfigurationValue provided is not in valid JSON or YAML format (the sandbox reads JSON)")
	}
	for name := range settings {
		if !slices.Contains(k.settings, name) {
			return invalid("ConfigurationValue provided in request is not supported: Json schema validation failed with error: [$.%.60s: is not defined in the schema and the schema does not allow additional properties]", name)
		}
	}
	return nil
}

func putAddon(tx *world.Tx, a addon) error {
	return tx.Put(ref(kindAddon, a.Key()), world.Meta{Name: a.Shown.Name, Parent: a.Cluster}, a)
}

func (x *exchange) addon(tx *world.Tx) (cluster, addon, error) {
	c, err := x.cluster(tx)
	if err != nil {
		return c, addon{}, err
	}
	name := x.Request.PathValue("addonName")
	a, err := world.Get[addon](tx, ref(kindAddon, c.Key()+"/"+name))
	if isNotFound(err) {
		err = with(with(refuseAs(404, "ResourceNotFoundException", "No addon: %.60s found in cluster: %s", name, c.Shown.Name), "clusterName", c.Shown.Name), "addonName", name)
	}
	return c, a, err
}

func listAddons(x *exchange) (any, error) {
	var names []string
	err := x.view(func(tx *world.Tx) error {
		c, err := x.cluster(tx)
		if err != nil {
			return err
		}
		list, err := within[addon](tx, kindAddon, c.Key(), nil)
		for _, a := range list {
			names = append(names, a.Shown.Name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return x.pageOf("addons", names)
}

func describeAddon(x *exchange) (any, error) {
	var a addon
	err := x.view(func(tx *world.Tx) (err error) {
		_, a, err = x.addon(tx)
		return err
	})
	return map[string]any{"addon": a.Shown}, err
}

func createAddon(x *exchange) (any, error) {
	var asked addonRequest
	if err := x.decode(&asked); err != nil {
		return nil, err
	}
	var a addon
	err := x.commit(func(tx *world.Tx) error {
		c, err := x.activeCluster(tx)
		if err != nil {
			return err
		}
		kind, err := asked.check(c.Shown.Version)
		if err != nil {
			return err
		}
		a, err = world.Get[addon](tx, ref(kindAddon, c.Key()+"/"+asked.Name))
		switch {
		case err == nil && asked.Token != "" && a.Token == asked.Token && a.Shown.Status != statusDeleting:
			return nil
		case err == nil:
			return with(refuseAs(409, "ResourceInUseException", "Addon already exists."), "addonName", asked.Name)
		case !isNotFound(err):
			return err
		}
		a, err = x.newAddon(tx, c, kind, asked)
		return err
	})
	return map[string]any{"addon": a.Shown}, err
}

func (x *exchange) newAddon(tx *world.Tx, c cluster, kind addonKind, asked addonRequest) (addon, error) {
	a := addon{Cluster: c.Key(), Token: asked.Token, Resolve: asked.Resolve}
	a.Shown = shownAddon{Name: asked.Name, Cluster: c.Shown.Name, Status: statusCreating, Version: kind.versionFor(c.Shown.Version), Health: healthy,
		ARN: x.arn("eks", "addon/"+c.Shown.Name+"/"+asked.Name+"/"+newUUID()), CreatedAt: stamp{x.At}, ModifiedAt: stamp{x.At}, Role: asked.Role, Tags: asked.Tags, Configuration: asked.Configuration}
	if a.Shown.Tags == nil {
		a.Shown.Tags = map[string]string{}
	}
	var err error
	for _, one := range asked.Associations {
		made, failed := x.addAssociation(tx, c, association{Namespace: "kube-system", Account: one.Account, Role: one.Role, Owner: a.Shown.ARN, Tags: asked.Tags})
		if failed != nil {
			return a, failed
		}
		a.Shown.Associations = append(a.Shown.Associations, made.ARN)
	}
	if a.Transition, err = x.Begin(tx, a.Shown.ARN, addonCreation, "the add-on could not be installed: an internal error occurred"); err != nil {
		return a, err
	}
	effect := x.Effect(world.Created, kindAddon, a.Shown.ARN, a.title())
	effect.Tags, effect.State, effect.Parent = tagsOf(asked.Tags).texts(), a.Shown.Status, c.Shown.ARN
	return a, errors.Join(putAddon(tx, a), tx.Record(effect))
}

func updateAddon(x *exchange) (any, error) {
	var asked addonRequest
	if err := x.decode(&asked); err != nil {
		return nil, err
	}
	var u update
	err := x.commit(func(tx *world.Tx) error {
		c, a, err := x.addon(tx)
		if err != nil {
			return err
		}
		if a.Shown.Status == statusCreating || a.Shown.Status == statusUpdating || a.Shown.Status == statusDeleting {
			return with(refuseAs(409, "ResourceInUseException", "Addon %s cannot be updated as it is currently in %s state", a.Shown.Name, a.Shown.Status), "addonName", a.Shown.Name)
		}
		asked.Name = a.Shown.Name
		if _, err := asked.check(c.Shown.Version); err != nil {
			return err
		}
		if asked.Associations != nil {
			return invalid("The sandbox changes pod identity associations of an add-on by their own operations only")
		}
		u = x.newUpdate("AddonUpdate", parameter{"AddonVersion", a.Shown.Version}, parameter{"ConfigurationValues", asked.Configuration}, parameter{"ResolveConflicts", cmp.Or(asked.Resolve, "NONE")})
		a.Shown.Version = cmp.Or(asked.Version, a.Shown.Version)
		a.Shown.Configuration, a.Shown.Role = cmp.Or(asked.Configuration, a.Shown.Configuration), cmp.Or(asked.Role, a.Shown.Role)
		t, err := x.Begin(tx, a.Shown.ARN+u.ID, addonUpdate, "the add-on could not be updated: an internal error occurred")
		a.Transition, a.Update, a.Shown.Status, a.Shown.ModifiedAt = t, u.ID, statusUpdating, stamp{x.At}
		return errors.Join(err, putAddon(tx, a), putUpdate(tx, keptUpdate{Update: u, Cluster: c.Key(), About: a.Shown.Name}),
			x.record(tx, world.Updated, kindAddon, a.Shown.ARN, a.title(), tagsOf(a.Shown.Tags)))
	})
	return map[string]any{"update": u}, err
}

func deleteAddon(x *exchange) (any, error) {
	var a addon
	err := x.commit(func(tx *world.Tx) (err error) {
		if _, a, err = x.addon(tx); err != nil || a.Shown.Status == statusDeleting {
			return err
		}
		a.Transition, err = x.BeginEnd(tx, a.Shown.ARN+"/end", addonDeletion)
		a.Shown.Status = statusDeleting
		return errors.Join(err, putAddon(tx, a))
	})
	return map[string]any{"addon": a.Shown}, err
}

func describeAddonVersions(x *exchange) (any, error) {
	query := x.Request.URL.Query()
	kubernetes, named := query.Get("kubernetesVersion"), query.Get("addonName")
	list := []map[string]any{}
	for _, kind := range addonKinds {
		if named != "" && named != kind.name {
			continue
		}
		versions := []map[string]any{}
		for _, minor := range x.cloud.Versions {
			if kubernetes == "" || kubernetes == minor {
				versions = append(versions, map[string]any{"addonVersion": kind.versionFor(minor), "architecture": []string{"amd64", "arm64"},
					"compatibilities":       []map[string]any{{"clusterVersion": minor, "platformVersions": []string{"*"}, "defaultVersion": true}},
					"requiresConfiguration": false, "requiresIamPermissions": kind.policy != ""})
			}
		}
		list = append(list, map[string]any{"addonName": kind.name, "type": kind.kind, "addonVersions": versions, "publisher": "eks", "owner": "aws"})
	}
	return map[string]any{"addons": list}, nil
}

// permitted says whether the add-on has what it needs of the account: by an association, its role, or that of the nodes.
func (a addon) permitted(tx *world.Tx, nodes []nodegroup) (bool, error) {
	kind, _ := findAddon(a.Shown.Name)
	if kind.policy == "" {
		return true, nil
	}
	associations, err := within(tx, kindAssociation, a.Cluster, func(o association) bool { return o.Account == kind.account && o.Namespace == "kube-system" })
	if err != nil {
		return false, err
	}
	arns := filled(a.Shown.Role)
	for _, o := range associations {
		arns = append(arns, o.Role)
	}
	for _, n := range nodes {
		arns = append(arns, n.Shown.Role)
	}
	for _, arn := range arns {
		r, err := roleByARN(tx, arn)
		if err != nil && !isNotFound(err) {
			return false, err
		}
		if slices.ContainsFunc(r.Attached, func(policy string) bool { return strings.HasPrefix(policy, "arn:aws:iam::aws:policy/"+kind.policy) }) {
			return true, nil
		}
	}
	return false, nil
}
