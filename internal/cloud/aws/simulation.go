package aws

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// question is what is asked of a part of the permissions: on which resources, and in which circumstances. A policy that restricts them
// to what the platform makes allows nothing for a mere "*".
type question struct {
	actions   []string
	resources []string
	context   map[string][]string
}

// ofOwn are the circumstances of what is the platform's, of disks as the driver in its clusters calls them, and of tagging what is made.
var ofOwn = map[string][]string{"aws:RequestTag/managed-by": {"m3o"}, "aws:ResourceTag/managed-by": {"m3o"}, "aws:ResourceTag/Name": {"m3o-platform-region-dynamic-pvc"},
	"ec2:CreateAction": {"CreateVpc"}}

// questions are those about a region.
func questions(of, account string, want region.Spec) []question {
	name := want.Key().ResourceName()
	var roles, linked, policies []string
	for _, w := range principals {
		roles = append(roles, "arn:"+of+":iam::"+account+":role/"+w.roleName(name))
		for _, p := range w.policies {
			policies = append(policies, "arn:"+of+":iam::aws:policy/"+p)
		}
	}
	service := "arn:" + of + ":iam::" + account + ":role/aws-service-role/"
	linked = []string{service + "eks.amazonaws.com/AWSServiceRoleForAmazonEKS"}
	eks := "arn:" + of + ":eks:" + want.Location + ":" + account + ":"
	cluster := clusterName(want.ClusterSpec(region.Net{}))
	var all []question
	for _, action := range allPermissions() {
		q := question{actions: []string{action}, resources: []string{"*"}, context: ofOwn}
		switch {
		case action == "iam:PassRole":
			all = append(all, passing(roles)...)
			continue
		case action == "iam:CreateServiceLinkedRole":
			q.resources, q.context = linked, map[string][]string{"iam:AWSServiceName": {"eks.amazonaws.com"}}
		case action == "iam:AttachRolePolicy" || action == "iam:DetachRolePolicy":
			q.resources, q.context = roles[:1], map[string][]string{"iam:PolicyARN": policies[:1]}
		case action == "iam:GetRole": // EKS looks by it whether node groups have their linked role
			q.resources = []string{roles[0], service + "eks-nodegroup.amazonaws.com/AWSServiceRoleForAmazonEKSNodegroup"}
		case strings.HasPrefix(action, "iam:"):
			q.resources = roles[:1]
		case action == "eks:DescribeClusterVersions" || action == "eks:CreateCluster" || action == "eks:TagResource":
		case strings.HasPrefix(action, "eks:"):
			q.resources = []string{eks + resourceOf(action, cluster, groupName(want.ClusterSpec(region.Net{})))}
		}
		all = merge(all, q)
	}
	return all
}

// passing asks of each service that assumes roles of a region whether one may be given to it.
func passing(roles []string) []question {
	var all []question
	for i, w := range principals {
		if !slices.ContainsFunc(principals[:i], func(other principal) bool { return other.assumes == w.assumes }) {
			all = append(all, question{[]string{"iam:PassRole"}, roles[i : i+1], map[string][]string{passedTo: {w.assumes}}})
		}
	}
	return all
}

// passedTo is the service that a role is given to, among the circumstances.
const passedTo = "iam:PassedToService"

// words name actions of the question, with the service where they depend on it.
func (q question) words(actions []string) []string {
	if len(q.context[passedTo]) == 0 {
		return actions
	}
	var all []string
	for _, action := range actions {
		all = append(all, action+" to "+q.context[passedTo][0])
	}
	return all
}

// resourceOf is a resource, as an ARN ends, that an action of EKS is about.
func resourceOf(action, cluster, group string) string {
	switch _, operation, _ := strings.Cut(action, ":"); operation {
	case "DescribeAddon":
		return "addon/" + cluster + "/vpc-cni/id"
	case "DescribeNodegroup", "DeleteNodegroup", "UpdateNodegroupConfig":
		return "nodegroup/" + cluster + "/" + group + "/id"
	case "DescribeAccessEntry", "AssociateAccessPolicy", "ListAssociatedAccessPolicies":
		return "access-entry/" + cluster + "/role/id"
	}
	return "cluster/" + cluster
}

// merge puts actions that are asked about in the same way into one question.
func merge(all []question, q question) []question {
	for i, other := range all {
		if slices.Equal(other.resources, q.resources) && maps.EqualFunc(other.context, q.context, slices.Equal) {
			all[i].actions = append(all[i].actions, q.actions...)
			return all
		}
	}
	return append(all, q)
}

// allPermissions is all that this package needs.
func allPermissions() []string {
	var all []string
	for _, implied := range permissions {
		all = append(all, implied...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// lacking asks IAM which permissions the worker lacks. Who may not ask that is told so, and finds out later, as who gets no answer does.
func (at *place) lacking(ctx context.Context, want region.Spec, me string) (missing []string, unsure string, err error) {
	of, _ := partition(at.location)
	var silent []string
	for _, q := range questions(of, accountOf(me), want) {
		denied, unanswered, err := at.simulate(ctx, me, q)
		switch {
		case fault.Is(err, fault.Denied):
			return nil, fmt.Sprintf("whether the worker %s has all permissions is not known, since it lacks iam:SimulatePrincipalPolicy", me), nil
		case err != nil:
			return nil, "", err
		}
		missing, silent = append(missing, q.words(denied)...), append(silent, q.words(unanswered)...)
	}
	if slices.Sort(silent); len(silent) > 0 {
		unsure = fmt.Sprintf("whether the worker %s has the permission %s is not known: IAM did not say", me, region.Some(slices.Compact(silent)))
	}
	slices.Sort(missing)
	return slices.Compact(missing), unsure, nil
}

// simulate has IAM answer a question: which of its actions are denied, and about which it said nothing.
func (at *place) simulate(ctx context.Context, me string, q question) (denied, unanswered []string, err error) {
	request := &iam.SimulatePrincipalPolicyInput{PolicySourceArn: aws.String(me), ActionNames: q.actions, ResourceArns: q.resources}
	for _, key := range slices.Sorted(maps.Keys(q.context)) {
		request.ContextEntries = append(request.ContextEntries, types.ContextEntry{ContextKeyName: aws.String(key), ContextKeyType: types.ContextKeyTypeEnumString, ContextKeyValues: q.context[key]})
	}
	results, err := every(ctx, iam.NewSimulatePrincipalPolicyPaginator(at.iam, request), func(page *iam.SimulatePrincipalPolicyOutput) []types.EvaluationResult {
		return page.EvaluationResults
	})
	if err != nil {
		return nil, nil, at.explain(err, "say what the worker may do")
	}
	unanswered = slices.Clone(q.actions)
	for _, r := range results {
		unanswered = slices.DeleteFunc(unanswered, func(action string) bool { return strings.EqualFold(action, aws.ToString(r.EvalActionName)) })
		if r.EvalDecision != types.PolicyEvaluationDecisionTypeAllowed {
			denied = append(denied, aws.ToString(r.EvalActionName))
		}
	}
	return denied, unanswered, nil
}

// accountOf is the account's number in an ARN.
func accountOf(arn string) string {
	parts := strings.Split(arn, ":")
	if len(parts) < 5 {
		return ""
	}
	return parts[4]
}
