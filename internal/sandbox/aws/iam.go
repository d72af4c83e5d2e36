package aws

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/m3o/platform/internal/sandbox/aws/wire"
	"github.com/m3o/platform/internal/sandbox/world"
)

// iamService is IAM, which has no regions.
func iamService() *service {
	return &service{scope: "iam", prefix: "iam", words: queryWords,
		protocol:   query{forms{"2010-05-08", "https://iam.amazonaws.com/doc/2010-05-08/"}},
		operations: slices.Concat(roleOperations, oidcOperations)}
}

const marker = " Marker MaxItems"

var roleOperations = []operation{
	{name: "CreateRole", takes: "Path RoleName AssumeRolePolicyDocument Description MaxSessionDuration Tags", handle: createRole},
	{name: "GetRole", takes: "RoleName", handle: getRole},
	{name: "ListRoles", takes: "PathPrefix" + marker, handle: listRoles},
	{name: "DeleteRole", takes: "RoleName", handle: deleteRole},
	{name: "UpdateAssumeRolePolicy", takes: "RoleName PolicyDocument", handle: updateTrust},
	{name: "TagRole", takes: "RoleName Tags", handle: tagRole},
	{name: "UntagRole", takes: "RoleName TagKeys", handle: untagRole},
	{name: "ListRoleTags", takes: "RoleName" + marker, handle: listRoleTags},
	{name: "AttachRolePolicy", takes: "RoleName PolicyArn", handle: attachRolePolicy},
	{name: "DetachRolePolicy", takes: "RoleName PolicyArn", handle: detachRolePolicy},
	{name: "ListAttachedRolePolicies", takes: "RoleName PathPrefix" + marker, handle: listAttached},
	{name: "PutRolePolicy", takes: "RoleName PolicyName PolicyDocument", handle: putRolePolicy},
	{name: "GetRolePolicy", takes: "RoleName PolicyName", handle: getRolePolicy},
	{name: "DeleteRolePolicy", takes: "RoleName PolicyName", handle: deleteRolePolicy},
	{name: "ListRolePolicies", takes: "RoleName" + marker, handle: listRolePolicies},
	{name: "ListInstanceProfilesForRole", takes: "RoleName" + marker, handle: listProfiles},
	{name: "GetUser", takes: "UserName", handle: getUser},
	{name: "SimulatePrincipalPolicy", takes: "PolicySourceArn ActionNames ResourceArns ContextEntries CallerArn" + marker, handle: simulate},
}

// role is a role as it is kept.
type role struct {
	Name        string
	Path        string
	ID          string
	ARN         string
	Created     time.Time
	Trust       string
	Description string
	Session     int
	Tags        tags
	// Attached are the ARNs of managed policies, Inline the documents of others by their names.
	Attached []string
	Inline   map[string]string
	// Seen is when other services see it as it is now.
	Seen time.Time
}

var (
	roleName   = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)
	policyName = regexp.MustCompile(`^[\w+=,.@-]{1,128}$`)
	policyARN  = regexp.MustCompile(`^arn:aws:iam::(aws|[0-9]{12}):policy/[\w+=,.@/-]{1,512}$`)
)

// managedPolicies are those of AWS that the sandbox knows, without the part that all share.
var managedPolicies = []string{"AmazonEKSClusterPolicy", "AmazonEKSVPCResourceController", "AmazonEKSWorkerNodePolicy", "AmazonEKSWorkerNodeMinimalPolicy", "AmazonEKS_CNI_Policy",
	"AmazonEC2ContainerRegistryReadOnly", "AmazonEC2ContainerRegistryPullOnly", "AmazonSSMManagedInstanceCore", "CloudWatchAgentServerPolicy",
	"service-role/AmazonEBSCSIDriverPolicy", "service-role/AmazonEBSCSIDriverPolicyV2", "service-role/AmazonEFSCSIDriverPolicy"}

const maxAttached = 10

// wire is the role as IAM shows it; lists leave the tags out.
func (r role) wire(whole bool) wire.Fields {
	f := wire.Fields{"Path": r.Path, "RoleName": r.Name, "RoleId": r.ID, "Arn": r.ARN, "CreateDate": r.Created,
		"AssumeRolePolicyDocument": escape(r.Trust, false), "Description": r.Description, "MaxSessionDuration": r.Session}
	if whole {
		f["Tags>member"] = r.Tags.upper()
		f["RoleLastUsed"] = wire.Fields{}
	}
	return f
}

func putRole(tx *world.Tx, r role) error {
	return tx.Put(ref(kindRole, r.Name), world.Meta{Name: r.Name}, r)
}

// uniqueID is the id that IAM gives beside the name, always the same for a name and a time.
func uniqueID(prefix, name string, at time.Time) string {
	sum := sha256.Sum256([]byte(name + at.String()))
	return prefix + base32.StdEncoding.EncodeToString(sum[:])[:17]
}

func noSuchRole(name string) error {
	return refuseAs(404, "NoSuchEntity", "The role with name %.70s cannot be found.", name)
}

func createRole(x *exchange) (any, error) {
	if err := x.needs("RoleName", "AssumeRolePolicyDocument"); err != nil {
		return nil, err
	}
	session, err := x.in.Number("MaxSessionDuration", 3600)
	if err != nil {
		return nil, refuse("ValidationError", "%v", err)
	}
	r := role{Name: x.in.Text("RoleName"), Path: x.in.Text("Path"), Created: x.At, Trust: x.in.Text("AssumeRolePolicyDocument"),
		Description: x.in.Text("Description"), Session: session, Tags: readTags(x.in, "Tags"), Inline: map[string]string{}}
	if r.Path == "" {
		r.Path = "/"
	}
	if err := checkNewRole(r); err != nil {
		return nil, err
	}
	r.ID, r.ARN, r.Seen = uniqueID("AROA", r.Name, x.At), "arn:aws:iam::"+x.cloud.Account+":role"+r.Path+r.Name, x.seen(r.Name)
	err = x.commit(func(tx *world.Tx) error {
		others, err := world.List[role](tx, ref(kindRole, ""))
		if err != nil {
			return err
		}
		if slices.ContainsFunc(others, func(o role) bool { return strings.EqualFold(o.Name, r.Name) }) {
			return refuseAs(409, "EntityAlreadyExists", "Role with name %s already exists.", r.Name)
		}
		if len(others) >= maxRoles {
			return x.overQuota()
		}
		return errors.Join(putRole(tx, r), x.recordRole(tx, world.Created, r))
	})
	return wire.Fields{"Role": r.wire(true)}, err
}

// seen is when other services see what IAM was just told about a role.
func (x *exchange) seen(name string) time.Time { return x.World.Clock.Due(x.At, roleSight, name) }

// recordRole says in the ledger what became of a role, and when others see that.
func (x *exchange) recordRole(tx *world.Tx, change string, r role) error {
	effect := x.Effect(change, kindRole, r.Name, r.Name)
	effect.Tags, effect.ReadyAt = r.Tags.texts(), &r.Seen
	return tx.Record(effect)
}

func checkNewRole(r role) error {
	if !roleName.MatchString(r.Name) {
		return refuse("ValidationError", "1 validation error detected: Value '%.70s' at 'roleName' failed to satisfy constraint: Member must have length less than or equal to 64 and satisfy regular expression pattern: [\\w+=,.@-]+", r.Name)
	}
	if !strings.HasPrefix(r.Path, "/") || !strings.HasSuffix(r.Path, "/") || len(r.Path) > 512 {
		return refuse("ValidationError", "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.")
	}
	if r.Session < 3600 || r.Session > 43200 {
		return refuse("ValidationError", "1 validation error detected: Value '%d' at 'maxSessionDuration' failed to satisfy constraint: Member must be between 3600 and 43200", r.Session)
	}
	if err := checkIAMTags(r.Tags); err != nil {
		return err
	}
	return checkDocument(r.Trust)
}

func checkIAMTags(t tags) error {
	if err := checkTags(t); err != nil {
		var r *refusal
		errors.As(err, &r)
		return refuse("InvalidInput", "%s", r.message)
	}
	return nil
}

// checkDocument refuses what is no policy document.
func checkDocument(text string) error {
	if _, err := parsePolicy([]byte(text)); err != nil {
		return refuse("MalformedPolicyDocument", "Syntax errors in policy: %v", err)
	}
	return nil
}

// getRoleOf loads the role of the request.
func (x *exchange) getRoleOf(tx *world.Tx) (role, error) {
	name := x.in.Text("RoleName")
	r, err := world.Get[role](tx, ref(kindRole, name))
	if isNotFound(err) {
		return r, noSuchRole(name)
	}
	return r, err
}

func (x *exchange) readRole() (r role, err error) {
	if err := x.needs("RoleName"); err != nil {
		return r, err
	}
	err = x.view(func(tx *world.Tx) (err error) {
		r, err = x.getRoleOf(tx)
		return err
	})
	return r, err
}

// editRole changes the role of the request, which the others see late.
func (x *exchange) editRole(how func(*role) error) (any, error) {
	if err := x.needs("RoleName"); err != nil {
		return nil, err
	}
	return nil, x.commit(func(tx *world.Tx) error {
		r, err := x.getRoleOf(tx)
		if err == nil {
			err = how(&r)
		}
		if err != nil {
			return err
		}
		return errors.Join(putRole(tx, r), x.recordRole(tx, world.Updated, r))
	})
}

func getRole(x *exchange) (any, error) {
	r, err := x.readRole()
	return wire.Fields{"Role": r.wire(true)}, err
}

func listRoles(x *exchange) (any, error) {
	var rows []wire.Fields
	prefix := x.in.Text("PathPrefix")
	err := x.view(func(tx *world.Tx) error {
		list, err := world.List[role](tx, ref(kindRole, ""))
		slices.SortFunc(list, func(a, b role) int { return strings.Compare(a.Name, b.Name) })
		for _, r := range list {
			if strings.HasPrefix(r.Path, prefix) {
				rows = append(rows, r.wire(false))
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return listed(x, "Roles", rows)
}

// listed answers a page of a list as IAM does.
func listed(x *exchange, set string, rows []wire.Fields) (any, error) {
	most, err := x.in.Number("MaxItems", 100)
	if err != nil || most < 1 || most > 1000 {
		return nil, refuse("ValidationError", "1 validation error detected: Value '%.20s' at 'maxItems' failed to satisfy constraint: Member must be between 1 and 1000", x.in.Text("MaxItems"))
	}
	from, err := readToken(x.in.Text("Marker"), len(rows))
	if err != nil {
		return nil, refuse("ValidationError", "Invalid Marker.")
	}
	to := min(len(rows), from+most)
	answer := wire.Fields{set + ">member": append([]wire.Fields{}, rows[from:to]...), "IsTruncated": to < len(rows)}
	if to < len(rows) {
		answer["Marker"] = pageToken(to)
	}
	return answer, nil
}

// deleteRole deletes a role of which nothing hangs any more.
func deleteRole(x *exchange) (any, error) {
	if err := x.needs("RoleName"); err != nil {
		return nil, err
	}
	return nil, x.commit(func(tx *world.Tx) error {
		r, err := x.getRoleOf(tx)
		switch {
		case err != nil:
			return err
		case len(r.Attached) > 0:
			return refuseAs(409, "DeleteConflict", "Cannot delete entity, must detach all policies first.")
		case len(r.Inline) > 0:
			return refuseAs(409, "DeleteConflict", "Cannot delete entity, must delete policies first.")
		}
		return errors.Join(tx.Delete(ref(kindRole, r.Name)), x.record(tx, world.Deleted, kindRole, r.Name, r.Name, r.Tags))
	})
}

func updateTrust(x *exchange) (any, error) {
	document := x.in.Text("PolicyDocument")
	if err := checkDocument(document); err != nil {
		return nil, err
	}
	return x.editRole(func(r *role) error {
		r.Trust, r.Seen = document, x.seen(r.Name)
		return nil
	})
}

func tagRole(x *exchange) (any, error) {
	given := readTags(x.in, "Tags")
	if err := checkIAMTags(given); err != nil {
		return nil, err
	}
	return x.editRole(func(r *role) error {
		for _, one := range given {
			r.Tags = r.Tags.set(one.Key, one.Value)
		}
		return checkIAMTags(r.Tags)
	})
}

func untagRole(x *exchange) (any, error) {
	return x.editRole(func(r *role) error {
		for _, key := range x.in.Texts("TagKeys") {
			r.Tags = r.Tags.without(key)
		}
		return nil
	})
}

func listRoleTags(x *exchange) (any, error) {
	r, err := x.readRole()
	if err != nil {
		return nil, err
	}
	return listed(x, "Tags", r.Tags.upper())
}

func attachRolePolicy(x *exchange) (any, error) {
	arn := x.in.Text("PolicyArn")
	name, isManaged := strings.CutPrefix(arn, "arn:aws:iam::aws:policy/")
	switch {
	case !policyARN.MatchString(arn):
		return nil, refuse("ValidationError", "The specified value for policyArn is invalid: %.100s", arn)
	case !isManaged || !slices.Contains(managedPolicies, name):
		return nil, refuseAs(404, "NoSuchEntity", "Policy %.600s does not exist or is not attachable.", arn)
	}
	return x.editRole(func(r *role) error {
		if slices.Contains(r.Attached, arn) {
			return nil
		}
		if len(r.Attached) >= maxAttached {
			return refuseAs(409, "LimitExceeded", "Cannot exceed quota for PoliciesPerRole: %d", maxAttached)
		}
		r.Attached = append(r.Attached, arn)
		return nil
	})
}

func detachRolePolicy(x *exchange) (any, error) {
	arn := x.in.Text("PolicyArn")
	return x.editRole(func(r *role) error {
		if !slices.Contains(r.Attached, arn) {
			return refuseAs(404, "NoSuchEntity", "Policy %.600s was not found.", arn)
		}
		r.Attached = slices.DeleteFunc(r.Attached, func(o string) bool { return o == arn })
		return nil
	})
}

func listAttached(x *exchange) (any, error) {
	r, err := x.readRole()
	if err != nil {
		return nil, err
	}
	rows := []wire.Fields{}
	for _, arn := range r.Attached {
		rows = append(rows, wire.Fields{"PolicyArn": arn, "PolicyName": arn[strings.LastIndex(arn, "/")+1:]})
	}
	return listed(x, "AttachedPolicies", rows)
}

func putRolePolicy(x *exchange) (any, error) {
	name, document := x.in.Text("PolicyName"), x.in.Text("PolicyDocument")
	if !policyName.MatchString(name) {
		return nil, refuse("ValidationError", "The specified value for policyName is invalid: %.130s", name)
	}
	if err := checkDocument(document); err != nil {
		return nil, err
	}
	return x.editRole(func(r *role) error {
		r.Inline[name] = document
		return nil
	})
}

func getRolePolicy(x *exchange) (any, error) {
	r, err := x.readRole()
	if err != nil {
		return nil, err
	}
	name := x.in.Text("PolicyName")
	document, has := r.Inline[name]
	if !has {
		return nil, refuseAs(404, "NoSuchEntity", "The role policy with name %.130s cannot be found.", name)
	}
	return wire.Fields{"RoleName": r.Name, "PolicyName": name, "PolicyDocument": escape(document, false)}, nil
}

func deleteRolePolicy(x *exchange) (any, error) {
	name := x.in.Text("PolicyName")
	return x.editRole(func(r *role) error {
		if _, has := r.Inline[name]; !has {
			return refuseAs(404, "NoSuchEntity", "The role policy with name %.130s cannot be found.", name)
		}
		delete(r.Inline, name)
		return nil
	})
}

func listRolePolicies(x *exchange) (any, error) {
	r, err := x.readRole()
	if err != nil {
		return nil, err
	}
	names := []string{}
	for name := range r.Inline {
		names = append(names, name)
	}
	slices.Sort(names)
	return wire.Fields{"PolicyNames>member": names, "IsTruncated": false}, nil
}

// listProfiles lists the instance profiles of a role: those of node groups are made, and hidden, by EKS.
func listProfiles(x *exchange) (any, error) {
	if _, err := x.readRole(); err != nil {
		return nil, err
	}
	return wire.Fields{"InstanceProfiles>member": []string{}, "IsTruncated": false}, nil
}

func getUser(x *exchange) (any, error) {
	if name := x.in.Text("UserName"); name != "" && name != userName {
		return nil, refuseAs(404, "NoSuchEntity", "The user with name %.70s cannot be found.", name)
	}
	made := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return wire.Fields{"User": wire.Fields{"Path": "/", "UserName": userName, "UserId": uniqueID("AIDA", userName, made), "Arn": x.cloud.user(), "CreateDate": made}}, nil
}

// trusts says that a role can be assumed by a service, as other services see it by now.
func (r role) trusts(service string, now time.Time) bool {
	if now.Before(r.Seen) {
		return false
	}
	var document struct {
		Statement []struct {
			Effect    string
			Principal struct{ Service texts }
			Action    texts
		}
	}
	if json.Unmarshal([]byte(r.Trust), &document) != nil {
		return false
	}
	for _, s := range document.Statement {
		if s.Effect == "Allow" && slices.Contains(s.Principal.Service, service) && slices.Contains(s.Action, "sts:AssumeRole") {
			return true
		}
	}
	return false
}

// roleByARN loads the role of an ARN.
func roleByARN(tx *world.Tx, arn string) (role, error) {
	r, err := world.Get[role](tx, ref(kindRole, arn[strings.LastIndex(arn, "/")+1:]))
	if err == nil && r.ARN != arn {
		return r, world.ErrNotFound
	}
	return r, err
}
