package gcp

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/api/cloudresourcemanager/v1"
	"google.golang.org/api/iam/v1"

	"github.com/m3o/platform/internal/sandbox/world"
)

// serviceAccount is a service account as it is kept.
type serviceAccount struct {
	Email       string    `json:"email"`
	UniqueID    string    `json:"unique_id"`
	DisplayName string    `json:"display_name,omitempty"`
	Description string    `json:"description,omitempty"`
	Created     time.Time `json:"created_at"`
	// Settled is when those who read know of it.
	Settled time.Time `json:"settled_at"`
}

// visible says whether those who read know of it yet: IAM is eventually consistent.
func (a serviceAccount) visible(now time.Time) bool { return !now.Before(a.Settled) }

func putAccount(tx *world.Tx, a serviceAccount) error {
	return tx.Put(ref(kindAccount, a.Email), world.Meta{Name: strings.SplitN(a.Email, "@", 2)[0]}, a)
}

func (a serviceAccount) shown() *iam.ServiceAccount {
	sum := sha256.Sum256([]byte(a.Description + a.DisplayName))
	return &iam.ServiceAccount{Name: "projects/" + ProjectID + "/serviceAccounts/" + a.Email, ProjectId: ProjectID, UniqueId: a.UniqueID, Email: a.Email,
		DisplayName: a.DisplayName, Description: a.Description, Etag: base64.StdEncoding.EncodeToString(sum[:6]), Oauth2ClientId: a.UniqueID}
}

// numberID is the number of something, always the same, of 21 digits as IAM's are.
func numberID(text string) string {
	sum := sha256.Sum256([]byte(text))
	return fmt.Sprintf("1%018d", binary.BigEndian.Uint64(sum[:])%1_000_000_000_000_000_000)
}

var accountID = regexp.MustCompile(`^[a-z]([-a-z0-9]{4,28}[a-z0-9])$`)

// account loads the service account of the path, by its address or its number.
func (r *request) account(tx *world.Tx) (serviceAccount, error) {
	name := r.vars["account"]
	all, err := world.List[serviceAccount](tx, ref(kindAccount, ""))
	if err != nil {
		return serviceAccount{}, err
	}
	writes := r.Request.Method != http.MethodGet // only reads are late
	i := slices.IndexFunc(all, func(a serviceAccount) bool {
		return (a.Email == name || a.UniqueID == name) && (writes || a.visible(r.At))
	})
	if i < 0 {
		return serviceAccount{}, notFound("Unknown service account")
	}
	return all[i], nil
}

func getAccount(r *request) (any, error) {
	var found serviceAccount
	err := r.View(func(tx *world.Tx) (err error) {
		found, err = r.account(tx)
		return err
	})
	return found.shown(), err
}

func listAccounts(r *request) (any, error) {
	answer := &iam.ListServiceAccountsResponse{}
	err := r.View(func(tx *world.Tx) error {
		all, err := world.List[serviceAccount](tx, ref(kindAccount, ""))
		for _, a := range all {
			if a.visible(r.At) {
				answer.Accounts = append(answer.Accounts, a.shown())
			}
		}
		return err
	})
	return answer, err
}

func createAccount(r *request) (any, error) {
	var asked iam.CreateServiceAccountRequest
	if err := r.decode(&asked); err != nil {
		return nil, err
	}
	if !accountID.MatchString(asked.AccountId) {
		return nil, invalid("The account ID %q does not have a length between 6 and 30 of lower-case letters, digits and dashes, beginning with a letter.", asked.AccountId)
	}
	clock := r.cloud.World.Clock
	made := serviceAccount{Email: asked.AccountId + "@" + ProjectID + ".iam.gserviceaccount.com", Created: r.At, Settled: r.At.Add(clock.Scaled(accountSettling))}
	made.UniqueID = numberID(made.Email + r.ID)
	if a := asked.ServiceAccount; a != nil {
		made.DisplayName, made.Description = a.DisplayName, a.Description
	}
	if len(made.DisplayName) > 100 || len(made.Description) > 256 {
		return nil, invalid("A display name has at most 100 bytes, a description 256.")
	}
	err := r.Commit(func(tx *world.Tx) error {
		all, err := world.List[serviceAccount](tx, ref(kindAccount, ""))
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(a serviceAccount) bool { return a.Email == made.Email }) {
			return exists("Service account %s already exists within project projects/%s.", asked.AccountId, ProjectID)
		}
		if len(all) >= maxAccounts {
			return &refusal{status: 429, code: "RESOURCE_EXHAUSTED", reason: "quotaExceeded", message: fmt.Sprintf(
				"Maximum number of service accounts on project reached: quota SERVICE_ACCOUNTS is %d.", maxAccounts)}
		}
		effect := r.Effect(world.Created, kindAccount, made.UniqueID, asked.AccountId)
		effect.ReadyAt = &made.Settled
		return errors.Join(putAccount(tx, made), tx.Record(effect))
	})
	return made.shown(), err
}

// deleteAccount removes a service account. Policies keep its bindings under another name, and one that is made anew with the same
// address has none of them.
func deleteAccount(r *request) (any, error) {
	err := r.Commit(func(tx *world.Tx) error {
		found, err := r.account(tx)
		if err != nil {
			return err
		}
		if found.Email == r.cloud.Account.Email() {
			return precondition("The sandbox's own service account %s cannot be deleted.", found.Email)
		}
		before, err := world.Get[policy](tx, ref(kindPolicy, ProjectID))
		if err != nil {
			return err
		}
		after := before.renamed("serviceAccount:"+found.Email, "deleted:serviceAccount:"+found.Email+"?uid="+found.UniqueID)
		return errors.Join(putPolicy(tx, after), r.recordBindings(tx, before, after), tx.Delete(ref(kindAccount, found.Email)),
			tx.Record(r.Effect(world.Deleted, kindAccount, found.UniqueID, strings.SplitN(found.Email, "@", 2)[0])))
	})
	return document{}, err
}

// policy is who may do what in the project.
type policy struct {
	Bindings     []binding         `json:"bindings"`
	AuditConfigs []json.RawMessage `json:"auditConfigs,omitempty"`
	// Serial counts changes; the etag is made of it.
	Serial int64 `json:"serial"`
}

type binding struct {
	Role      string          `json:"role"`
	Members   []string        `json:"members"`
	Condition json.RawMessage `json:"condition,omitempty"`
}

func putPolicy(tx *world.Tx, p policy) error {
	return tx.Put(ref(kindPolicy, ProjectID), world.Meta{Name: ProjectID}, p)
}

func (p policy) etag() string {
	data := binary.BigEndian.AppendUint64([]byte{7}, uint64(p.Serial))
	return "BwY" + base64.StdEncoding.EncodeToString(data)[3:]
}

// renamed is the policy with another name for a member.
func (p policy) renamed(from, to string) policy {
	after := policy{Serial: p.Serial, AuditConfigs: p.AuditConfigs}
	for _, b := range p.Bindings {
		b.Members = slices.Clone(b.Members)
		if i := slices.Index(b.Members, from); i >= 0 {
			b.Members[i], after.Serial = to, p.Serial+1
		}
		after.Bindings = append(after.Bindings, b)
	}
	return after
}

func (p policy) shown(conditions bool) document {
	bindings := []any{}
	version := 1
	for _, b := range p.Bindings {
		doc := document{"role": b.Role, "members": b.Members}
		if len(b.Condition) > 0 {
			doc["condition"] = b.Condition
			version = 3
			if !conditions { // as there, who does not ask for conditions is told that there is more to it
				doc["role"], doc["condition"] = b.Role+"_withcond_"+hex8(string(b.Condition)), nil
				delete(doc, "condition")
				version = 1
			}
		}
		bindings = append(bindings, doc)
	}
	doc := document{"version": version, "etag": p.etag(), "bindings": bindings}
	if len(p.AuditConfigs) > 0 {
		doc["auditConfigs"] = p.AuditConfigs
	}
	return doc
}

func getIamPolicy(r *request) (any, error) {
	var asked cloudresourcemanager.GetIamPolicyRequest
	if len(r.body) > 0 {
		if err := r.decode(&asked); err != nil {
			return nil, err
		}
	}
	conditions := asked.Options != nil && asked.Options.RequestedPolicyVersion == 3
	var p policy
	err := r.View(func(tx *world.Tx) (err error) {
		p, err = world.Get[policy](tx, ref(kindPolicy, ProjectID))
		return err
	})
	return p.shown(conditions), err
}

// setIamPolicy replaces the policy, unless it changed since it was read.
func setIamPolicy(r *request) (any, error) {
	var asked cloudresourcemanager.SetIamPolicyRequest
	if err := r.decode(&asked); err != nil {
		return nil, err
	}
	if asked.Policy == nil {
		return nil, invalid("Policy must be specified.")
	}
	var sent struct {
		Policy policy `json:"policy"`
	}
	if err := json.Unmarshal(r.body, &sent); err != nil {
		return nil, invalid("Invalid JSON payload received. %v", err)
	}
	if len(sent.Policy.Bindings) > maxBindings || len(r.body) > maxPolicyBytes {
		return nil, invalid("A policy has at most %d bindings.", maxBindings)
	}
	var p policy
	err := r.Commit(func(tx *world.Tx) error {
		have, err := world.Get[policy](tx, ref(kindPolicy, ProjectID))
		if err != nil {
			return err
		}
		if asked.Policy.Etag != "" && asked.Policy.Etag != have.etag() {
			return aborted("There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff. The request's ETag '%s' did not match the current policy's ETag '%s'.",
				asked.Policy.Etag, have.etag())
		}
		p = policy{Serial: have.Serial + 1, AuditConfigs: sent.Policy.AuditConfigs}
		if asked.UpdateMask == "" || strings.Contains(asked.UpdateMask, "bindings") {
			if p.Bindings, err = r.checkBindings(tx, have, sent.Policy.Bindings); err != nil {
				return err
			}
		}
		return errors.Join(putPolicy(tx, p), r.recordBindings(tx, have, p))
	})
	return p.shown(true), err
}

// checkBindings merges bindings of one role, and says which members there are not.
func (r *request) checkBindings(tx *world.Tx, have policy, sent []binding) ([]binding, error) {
	known := have.members()
	merged := map[string]binding{}
	for _, b := range sent {
		if !strings.HasPrefix(b.Role, "roles/") && !strings.HasPrefix(b.Role, "projects/"+ProjectID+"/roles/") {
			return nil, invalid("Role %s is not supported for this resource.", b.Role)
		}
		for _, member := range b.Members {
			if err := r.checkMember(tx, known, member); err != nil {
				return nil, err
			}
		}
		if len(b.Members) == 0 {
			continue
		}
		key := b.Role + string(b.Condition)
		one := merged[key]
		one.Role, one.Condition = b.Role, b.Condition
		one.Members = slices.Compact(slices.Sorted(slices.Values(slices.Concat(one.Members, b.Members))))
		merged[key] = one
	}
	bindings := make([]binding, 0, len(merged))
	for _, key := range slices.Sorted(maps.Keys(merged)) {
		bindings = append(bindings, merged[key])
	}
	return bindings, nil
}

// members are all members of a policy.
func (p policy) members() map[string]bool {
	known := map[string]bool{}
	for _, b := range p.Bindings {
		for _, member := range b.Members {
			known[member] = true
		}
	}
	return known
}

// checkMember says whether there is a member, as far as the project can know.
func (r *request) checkMember(tx *world.Tx, known map[string]bool, member string) error {
	kind, who, ok := strings.Cut(member, ":")
	switch {
	case !ok && member != "allUsers" && member != "allAuthenticatedUsers":
		return invalid("Invalid member: %q. Members must be of the form \"<type>:<value>\".", member)
	case kind == "deleted" && !known[member]:
		return invalid("Deleted members cannot be added to policies: %s.", member)
	case kind != "serviceAccount" || !strings.HasSuffix(who, "@"+ProjectID+".iam.gserviceaccount.com"):
		return nil
	}
	account, err := world.Get[serviceAccount](tx, ref(kindAccount, who))
	if isNotFound(err) || err == nil && !account.visible(r.At) {
		return invalid("Service account %s does not exist.", who)
	}
	return err
}

// recordBindings tells the ledger which members a role got and lost.
func (r *request) recordBindings(tx *world.Tx, before, after policy) error {
	pairs := func(p policy) map[string]bool {
		all := map[string]bool{}
		for _, b := range p.Bindings {
			for _, member := range b.Members {
				all[b.Role+" "+member] = true
			}
		}
		return all
	}
	had, has := pairs(before), pairs(after)
	var problems []error
	for _, pair := range slices.Sorted(maps.Keys(has)) {
		if !had[pair] {
			problems = append(problems, tx.Record(r.Effect(world.Created, "iam_binding", pair, pair)))
		}
	}
	for _, pair := range slices.Sorted(maps.Keys(had)) {
		if !has[pair] {
			problems = append(problems, tx.Record(r.Effect(world.Deleted, "iam_binding", pair, pair)))
		}
	}
	return errors.Join(problems...)
}
