package aws

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// policy is a policy document, as far as the sandbox evaluates them: the IAM user guide, "Policy evaluation logic". Of a caller's own
// policy a statement allows or denies; nothing is denied that no statement names.
type policy struct {
	Version   string
	ID        string `json:"Id"`
	Statement statements
}

type statement struct {
	Sid          string
	Effect       string
	Principal    any
	NotPrincipal any
	Action       texts
	NotAction    texts
	Resource     texts
	NotResource  texts
	// Condition has operators, keys and values.
	Condition map[string]map[string]texts
}

// statements are a list, or one alone.
type statements []statement

func (s *statements) UnmarshalJSON(data []byte) error {
	var list []statement
	if json.Unmarshal(data, &list) == nil {
		*s = list
		return nil
	}
	var one statement
	err := json.Unmarshal(data, &one)
	*s = statements{one}
	return err
}

// texts are a list, or one alone.
type texts []string

func (t *texts) UnmarshalJSON(data []byte) error {
	var list []string
	if json.Unmarshal(data, &list) == nil {
		*t = list
		return nil
	}
	var one string
	if err := json.Unmarshal(data, &one); err == nil {
		*t = texts{one}
		return nil
	}
	var flag bool
	err := json.Unmarshal(data, &flag)
	*t = texts{fmt.Sprint(flag)}
	return err
}

// maxDocument is the most that a policy of a role can have.
const maxDocument = 10240

// parsePolicy reads a document. None is no policy.
func parsePolicy(data []byte) (*policy, error) {
	if data == nil {
		return nil, nil //nolint:nilnil // no policy is not an error
	}
	if len(data) > maxDocument {
		return nil, fmt.Errorf("a policy has at most %d characters", maxDocument)
	}
	var p policy
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	if len(p.Statement) == 0 {
		return nil, errors.New("it has no statement")
	}
	for i, s := range p.Statement {
		if s.Effect != "Allow" && s.Effect != "Deny" {
			return nil, fmt.Errorf("statement %d: the effect %.20q is neither Allow nor Deny", i, s.Effect)
		}
		if len(s.Action) == 0 && len(s.NotAction) == 0 {
			return nil, fmt.Errorf("statement %d has no action", i)
		}
		for operator := range s.Condition {
			if comparison(operator) == nil {
				return nil, fmt.Errorf("statement %d: the sandbox does not know the condition operator %.40q", i, operator)
			}
		}
	}
	return &p, nil
}

// need is one permission that a request needs.
type need struct {
	action, resource string
	// context are the values of condition keys.
	context map[string][]string
}

// The decisions.
const (
	allowed      = "allowed"
	implicitDeny = "implicitDeny"
	explicitDeny = "explicitDeny"
)

// decide evaluates the policy. missing are condition keys that a statement asks for and the context lacks.
func (p *policy) decide(n need) (decision string, missing []string) {
	if p == nil {
		return allowed, nil
	}
	decision = implicitDeny
	for _, s := range p.Statement {
		if !s.isAbout(n) {
			continue
		}
		holds, lacks := s.holds(n)
		if !holds {
			missing = append(missing, lacks...)
			continue
		}
		if s.Effect == "Deny" {
			return explicitDeny, nil
		}
		decision = allowed
	}
	if decision == allowed {
		missing = nil
	}
	return decision, missing
}

func (s statement) isAbout(n need) bool {
	action := func(pattern string) bool { return fits(strings.ToLower(pattern), strings.ToLower(n.action)) }
	resource := func(pattern string) bool {
		return n.resource == "*" && pattern == "*" || n.resource != "*" && fits(pattern, n.resource)
	}
	isAction := slices.ContainsFunc(s.Action, action) || len(s.NotAction) > 0 && !slices.ContainsFunc(s.NotAction, action)
	isResource := slices.ContainsFunc(s.Resource, resource) || len(s.NotResource) > 0 && !slices.ContainsFunc(s.NotResource, resource)
	return isAction && isResource
}

// holds says whether all conditions are met, and which keys are missing if not.
func (s statement) holds(n need) (holds bool, missing []string) {
	holds = true
	for operator, keys := range s.Condition {
		compare := comparison(operator)
		for key, wanted := range keys {
			got, has := n.context[key]
			if !has && !strings.HasSuffix(operator, "IfExists") && operator != "Null" {
				missing = append(missing, key)
			}
			holds = holds && compare(got, has, wanted)
		}
	}
	return holds, missing
}

// comparison is what a condition operator does, nil if the sandbox does not know it.
func comparison(operator string) func(got []string, has bool, wanted []string) bool {
	base, ifExists := strings.CutSuffix(operator, "IfExists")
	base, forAll := strings.CutPrefix(base, "ForAllValues:")
	base, _ = strings.CutPrefix(base, "ForAnyValue:")
	base, negated := strings.CutPrefix(base, "StringNot")
	if negated {
		base = "String" + base
	}
	var same func(pattern, value string) bool
	switch base {
	case "StringEquals", "ArnEquals", "Bool":
		same = func(pattern, value string) bool { return pattern == value }
	case "StringLike", "ArnLike":
		same = fits
	case "Null":
		return func(_ []string, has bool, wanted []string) bool { return slices.Contains(wanted, fmt.Sprint(!has)) }
	default:
		return nil
	}
	if base == "ArnEquals" {
		same = fits // as IAM has it
	}
	return func(got []string, has bool, wanted []string) bool {
		if !has {
			return ifExists || forAll || negated
		}
		is := func(value string) bool {
			return slices.ContainsFunc(wanted, func(pattern string) bool { return same(pattern, value) }) != negated
		}
		if forAll {
			return !slices.ContainsFunc(got, func(value string) bool { return !is(value) })
		}
		return slices.ContainsFunc(got, is)
	}
}
