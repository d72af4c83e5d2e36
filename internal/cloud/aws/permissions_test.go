package aws

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/m3o/platform/deploy/workers"
)

// document is a policy as IAM reads it. A list of one is written as a list here, but for resources.
type document struct {
	Statement []struct {
		Sid, Effect string
		Action      []string
		Resource    any
		Condition   map[string]map[string]any
	}
}

func workersPolicy(t *testing.T) document {
	t.Helper()
	var written document
	if err := json.Unmarshal(workerpolicy.Of("aws"), &written); err != nil {
		t.Fatal(err)
	}
	return written
}

// maxPolicy is how many characters a managed policy of IAM has at most, without white space.
const maxPolicy = 6144

// TestThePolicyIsWhatTheOperationsNeed and no more.
func TestThePolicyIsWhatTheOperationsNeed(t *testing.T) {
	var allowed []string
	for _, s := range workersPolicy(t).Statement {
		if s.Effect != "Allow" {
			t.Errorf("%s: %s", s.Sid, s.Effect)
		}
		for _, action := range s.Action {
			if strings.Contains(action, "*") || slices.Contains(allowed, action) {
				t.Errorf("%s: %s allows more than its operation needs, or again", s.Sid, action)
			}
			allowed = append(allowed, action)
		}
	}
	slices.Sort(allowed)
	if want := allPermissions(); !slices.Equal(allowed, want) {
		t.Errorf("the policy allows %v, the operations need %v", allowed, want)
	}
	if length := len(strings.Join(strings.Fields(string(workerpolicy.Of("aws"))), "")); length > maxPolicy {
		t.Errorf("the policy has %d characters, more than IAM takes", length)
	}
}

// TestOnlyOwnDisksCanBeDeleted: other disks of the account hold others' data.
func TestOnlyOwnDisksCanBeDeleted(t *testing.T) {
	seen := 0
	for _, s := range workersPolicy(t).Statement {
		for _, action := range s.Action {
			if action != "ec2:DeleteVolume" && action != "ec2:DeleteSnapshot" {
				continue
			}
			seen++
			if got := s.Condition["StringLike"]["aws:ResourceTag/Name"]; got != "m3o-*-dynamic-*" {
				t.Errorf("%s is allowed for what is called %v", action, got)
			}
		}
	}
	if seen != 2 {
		t.Errorf("%d of 2 were there", seen)
	}
}

// TestRolesCannotBecomeMoreThanTheyAre: without these conditions whoever has the worker's role could make itself administrator.
func TestRolesCannotBecomeMoreThanTheyAre(t *testing.T) {
	var policies []string
	for _, w := range principals {
		for _, p := range w.policies {
			policies = append(policies, "arn:*:iam::aws:policy/"+p)
		}
	}
	slices.Sort(policies)
	seen := 0
	for _, s := range workersPolicy(t).Statement {
		for _, action := range s.Action {
			switch action {
			case "iam:AttachRolePolicy":
				if got := texts(s.Condition["ArnLike"]["iam:PolicyARN"]); !slices.Equal(got, policies) {
					t.Errorf("roles can be given %v, want %v", got, policies)
				}
				seen++
			case "iam:PassRole":
				if got := texts(s.Condition["StringEquals"]["iam:PassedToService"]); !slices.Equal(got, []string{"ec2.amazonaws.com", "eks.amazonaws.com", "pods.eks.amazonaws.com"}) {
					t.Errorf("roles can be given to %v", got)
				}
				seen++
			}
			if strings.HasPrefix(action, "iam:") && action != "iam:SimulatePrincipalPolicy" && action != "iam:GetRole" && !slices.Contains([]any{"arn:*:iam::*:role/m3o-*", "arn:*:iam::*:role/aws-service-role/*"}, s.Resource) {
				t.Errorf("%s is allowed for %v", action, s.Resource)
			}
		}
	}
	if seen != 2 {
		t.Errorf("%d of 2 were there", seen)
	}
}

func texts(value any) []string {
	list, _ := value.([]any)
	var all []string
	for _, v := range list {
		text, _ := v.(string)
		all = append(all, text)
	}
	return all
}
