package aws

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/sandbox/aws/wire"
	"github.com/m3o/platform/internal/sandbox/world"
)

// implied are the permissions that operations need beside the one of their own name. Source: the Service Authorization Reference,
// "Dependent actions" of Amazon EKS, EC2 and IAM, and the EKS user guide's chapters on node groups, launch templates and pod identity.
// What is made with tags needs the permission to tag, which is not listed here.
var implied = map[string][]implication{
	"CreateCluster": {{action: "iam:PassRole", role: "roleArn", to: "eks.amazonaws.com"}, {action: "iam:CreateServiceLinkedRole", linked: "eks.amazonaws.com"},
		{action: "ec2:DescribeSubnets"}, {action: "ec2:DescribeVpcs"}},
	"CreateNodegroup": {{action: "iam:PassRole", role: "nodeRole", to: "ec2.amazonaws.com"}, {action: "iam:GetRole", role: "nodeRole"},
		{action: "iam:ListAttachedRolePolicies", role: "nodeRole"}, {action: "iam:CreateServiceLinkedRole", linked: "eks-nodegroup.amazonaws.com"},
		{action: "iam:GetRole", linked: "eks-nodegroup.amazonaws.com"}, // EKS looks by the caller's right whether the linked role is there
		{action: "ec2:DescribeSubnets"}, {action: "ec2:RunInstances", with: "launchTemplate"}, {action: "ec2:CreateTags", with: "launchTemplate", create: "RunInstances"}, {action: "ec2:DescribeLaunchTemplateVersions", with: "launchTemplate"}},
	"CreateAddon": {{action: "iam:PassRole", role: "serviceAccountRoleArn", to: "eks.amazonaws.com", with: "serviceAccountRoleArn"},
		{action: "iam:PassRole", role: "podIdentityAssociations", to: "pods.eks.amazonaws.com", with: "podIdentityAssociations"},
		{action: "iam:GetRole", role: "podIdentityAssociations", with: "podIdentityAssociations"},
		{action: "eks:CreatePodIdentityAssociation", with: "podIdentityAssociations"}},
	"CreatePodIdentityAssociation": {{action: "iam:PassRole", role: "roleArn", to: "pods.eks.amazonaws.com"}, {action: "iam:GetRole", role: "roleArn"}},
}

// implication is a permission that an operation needs beside its own.
type implication struct {
	action string
	// role is the member of the request with the role, or roles, that it is about, to the service that gets it.
	role, to string
	// linked is the service whose linked role is made.
	linked string
	// create is what EC2 is asked for on the caller's behalf, as conditions see it.
	create string
	// with is the member that asks for it; without it nothing is needed.
	with string
}

// Permissions are what an operation needs at most, by the table that the sandbox enforces; tagged says that it makes something with
// tags.
func Permissions(service, operation string, tagged bool) []string {
	list := []string{service + ":" + operation}
	if tagged {
		list = append(list, tagging(service, operation))
	}
	for _, i := range implied[operation] {
		if service == "eks" && !slices.Contains(list, i.action) {
			list = append(list, i.action)
		}
	}
	return list
}

// tagging is the permission to tag what an operation makes.
func tagging(service, operation string) string {
	switch {
	case service == "ec2":
		return "ec2:CreateTags"
	case operation == "CreateRole":
		return "iam:TagRole"
	case operation == "CreateOpenIDConnectProvider":
		return "iam:TagOpenIDConnectProvider"
	}
	return service + ":TagResource"
}

// authorize refuses a request that the account's policy does not allow.
func (x *exchange) authorize() error {
	if x.cloud.policy == nil || x.operation.name == "GetCallerIdentity" { // which nobody needs a permission for
		return nil
	}
	needs, err := x.permissionsNeeded()
	if err != nil {
		return err
	}
	for _, n := range needs {
		decision, _ := x.cloud.policy.decide(n)
		switch decision {
		case explicitDeny:
			return x.denied(n.action, n.resource, "with an explicit deny in an identity-based policy")
		case implicitDeny:
			return x.deny(n.action, n.resource)
		}
	}
	return nil
}

func (x *exchange) deny(action, resource string) error {
	return x.denied(action, resource, "because no identity-based policy allows the "+action+" action")
}

func (x *exchange) denied(action, resource, why string) error {
	r := x.service.words.denied
	r.message = "User: " + x.cloud.user() + " is not authorized to perform: " + action + " on resource: " + resource + " " + why
	if x.service.scope == "ec2" {
		r.message = "You are not authorized to perform this operation. " + r.message
	}
	return &r
}

// permissionsNeeded are all that a request needs.
func (x *exchange) permissionsNeeded() ([]need, error) {
	given, resource, context, err := x.circumstances()
	if err != nil {
		return nil, err
	}
	needs := []need{{x.service.prefix + ":" + x.operation.name, resource, context}}
	if len(given) > 0 && strings.HasPrefix(x.operation.name, "Create") && x.operation.name != "CreateTags" || x.operation.name == "AllocateAddress" && len(given) > 0 {
		tagged := maps.Clone(context)
		tagged["ec2:CreateAction"] = []string{x.operation.name}
		needs = append(needs, need{tagging(x.service.prefix, x.operation.name), resource, tagged})
	}
	if x.service.scope != "eks" {
		return needs, nil
	}
	var body map[string]any
	if err := json.Unmarshal(x.body, &body); err != nil && len(x.body) > 0 {
		return needs, nil // the handler says what is wrong with it
	}
	for _, i := range implied[x.operation.name] {
		if i.with == "" || body[i.with] != nil {
			needs = append(needs, i.needs(body, resource, context)...)
		}
	}
	return needs, nil
}

// needs are the permissions of an implication, for a request with that body.
func (i implication) needs(body map[string]any, about string, context map[string][]string) []need {
	if i.linked != "" {
		return []need{{i.action, "arn:aws:iam::*:role/aws-service-role/" + i.linked + "/*", map[string][]string{"iam:AWSServiceName": {i.linked}}}}
	}
	if i.role == "" && strings.HasPrefix(i.action, "eks:") { // of the cluster that the request is about
		return []need{{i.action, about, context}}
	}
	if i.create != "" {
		context = maps.Clone(context)
		context["ec2:CreateAction"] = []string{i.create}
	}
	if i.role == "" {
		return []need{{i.action, "*", context}}
	}
	var list []need
	for _, arn := range rolesIn(body[i.role]) {
		n := need{i.action, arn, map[string][]string{}}
		if i.to != "" {
			n.context["iam:PassedToService"] = []string{i.to}
		}
		list = append(list, n)
	}
	return list
}

// rolesIn are the ARNs in a member of a request: one, or those of associations.
func rolesIn(member any) []string {
	switch m := member.(type) {
	case string:
		return []string{m}
	case []any:
		var arns []string
		for _, one := range m {
			if fields, is := one.(map[string]any); is {
				arns = append(arns, rolesIn(fields["roleArn"])...)
			}
		}
		return arns
	}
	return nil
}

// circumstances are what a policy's conditions can look at: the tags that a request gives, the resource and its tags.
func (x *exchange) circumstances() (given tags, resource string, context map[string][]string, err error) {
	resource, context = "*", map[string][]string{"aws:RequestedRegion": {x.region}}
	var has tags
	switch x.service.scope {
	case "ec2":
		given, resource, has, err = x.aboutEC2()
	case "iam":
		given = readTags(x.in, "Tags")
		if name := x.in.Text("RoleName"); name != "" {
			resource = "arn:aws:iam::" + x.cloud.Account + ":role/" + name
		}
		if arn := x.in.Text("PolicyArn"); arn != "" {
			context["iam:PolicyARN"] = []string{arn}
		}
		if arn := x.in.Text("PolicySourceArn"); arn != "" {
			resource = arn
		}
		if arn := x.in.Text(byProvider); arn != "" {
			resource = arn
		}
		err = x.View(func(tx *world.Tx) error {
			r, err := world.Get[role](tx, ref(kindRole, x.in.Text("RoleName")))
			has = r.Tags
			return ignoreMissing(err)
		})
	case "eks":
		given, resource, has, err = x.aboutEKS()
	case "elasticloadbalancing":
		if arn := x.in.Text("LoadBalancerArn") + x.in.Text("TargetGroupArn"); arn != "" {
			resource = arn
		}
	}
	for _, t := range given {
		context["aws:RequestTag/"+t.Key] = []string{t.Value}
		context["aws:TagKeys"] = append(context["aws:TagKeys"], t.Key)
	}
	for _, t := range has {
		context["aws:ResourceTag/"+t.Key], context["ec2:ResourceTag/"+t.Key] = []string{t.Value}, []string{t.Value}
	}
	return given, resource, context, err
}

func ignoreMissing(err error) error {
	if isNotFound(err) {
		return nil
	}
	return err
}

// aboutEC2 finds the resource that a request is about: the one that is made, or the first that its parameters name.
func (x *exchange) aboutEC2() (given tags, resource string, has tags, err error) {
	for _, spec := range x.in.Items("TagSpecification") {
		given = append(given, readTags(spec, "Tag")...)
		resource = x.arn("ec2", spec.Text("ResourceType")+"/*")
	}
	if !x.operation.changes() {
		return given, "*", nil, nil
	}
	if x.operation.name == "CreateTags" {
		given = readTags(x.in, "Tag")
	}
	if resource != "" {
		return given, resource, nil, nil
	}
	return given, cmpOr(x.firstNamed(&has, &err)), has, err
}

func cmpOr(resource string) string {
	if resource == "" {
		return "*"
	}
	return resource
}

// firstNamed is the ARN of the first resource that the parameters name, and its tags.
func (x *exchange) firstNamed(has *tags, err *error) string {
	for _, parameter := range strings.Fields(x.operation.takes) {
		ids := append([]string{x.in.Text(parameter)}, x.in.Texts(parameter)...)
		for _, id := range ids {
			prefix, _, _ := strings.Cut(id, "-")
			kind, known := prefixes[prefix]
			if !known {
				continue
			}
			*err = x.View(func(tx *world.Tx) error {
				type carrier struct{ Tags tags }
				c, err := world.Get[carrier](tx, ref(kind, id))
				*has = c.Tags
				return ignoreMissing(err)
			})
			return x.arn("ec2", kind+"/"+id)
		}
	}
	return ""
}

// simulate says which actions the caller's policy allows, without doing any.
func simulate(x *exchange) (any, error) {
	if err := x.needs("PolicySourceArn", "ActionNames"); err != nil {
		return nil, err
	}
	source := x.in.Text("PolicySourceArn")
	if source != x.cloud.user() {
		err := x.view(func(tx *world.Tx) error {
			_, err := roleByARN(tx, source)
			return err
		})
		if isNotFound(err) {
			err = refuseAs(404, "NoSuchEntity", "The source %.300s cannot be found.", source)
		}
		if err != nil {
			return nil, err
		}
	}
	context := map[string][]string{}
	for _, entry := range x.in.Items("ContextEntries") {
		context[entry.Text("ContextKeyName")] = entry.Texts("ContextKeyValues")
	}
	resources := x.in.Texts("ResourceArns")
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	rows := []wire.Fields{}
	for _, action := range x.in.Texts("ActionNames") {
		if !strings.Contains(action, ":") {
			return nil, refuse("InvalidInput", "Invalid Action Name: %.100s", action)
		}
		for _, resource := range resources {
			decision, missing := implicitDeny, []string(nil)
			if source == x.cloud.user() {
				decision, missing = x.cloud.policy.decide(need{action, resource, context})
			}
			rows = append(rows, wire.Fields{"EvalActionName": action, "EvalResourceName": resource, "EvalDecision": decision,
				"MatchedStatements>member": []string{}, "MissingContextValues>member": append([]string{}, missing...)})
		}
	}
	return listed(x, "EvaluationResults", rows)
}

// bodyTags are the tags in a body that is JSON.
func bodyTags(body []byte) tags {
	var asked struct {
		Tags map[string]string `json:"tags"`
	}
	if json.Unmarshal(body, &asked) != nil {
		return nil // the handler says what is wrong with it
	}
	return tagsOf(asked.Tags)
}
