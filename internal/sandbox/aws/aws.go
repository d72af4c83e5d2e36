// Package aws is the sandbox's AWS: a stateful server of the wire protocols of EKS, EC2, IAM, STS, Elastic Load Balancing and Service
// Quotas, all on one port, that the unmodified SDKs and command line cannot tell from the real ones by what they are used for here.
//
// Which service is meant is told by the scope of the request's signature, which is checked. Resources take their time, go through the
// real states, depend on each other as there, and outlive what made them where they do there. A cluster is a real Kubernetes, run by
// a clusters.Runner. What it is not: all of these services (unknown operations and parameters are refused, never ignored), or a place
// for real secrets. Only package sandbox imports it.
package aws

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"

	"github.com/m3o/platform/internal/sandbox/budget"
	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/world"
)

// Config is what the cloud needs.
type Config struct {
	World  *world.World
	Runner clusters.Runner
	// Versions are the Kubernetes minor versions on offer, newest first.
	Versions []string
	// Account is the account's number, of twelve digits.
	Account string
	// AccessKey and Secret are the account's only credentials, those of the IAM user m3o.
	AccessKey, Secret string
	// Policy is the policy document of that user; nil allows everything.
	Policy []byte
	// VCPULimit is the quota "Running On-Demand Standard instances", in vCPUs, per region; 0 means 64.
	VCPULimit int
	// Webhook is where a cluster's API server asks whose a token is, by the id that the runner knows the cluster by; nil for nowhere.
	Webhook func(cluster string) string
	Logger  *slog.Logger
}

// Cloud is one AWS account.
type Cloud struct {
	Config
	policy   *policy
	services map[string]*service
	budgets  *budget.Buckets
}

var accountNumber = regexp.MustCompile(`^[0-9]{12}$`)

// New makes the cloud. Its state is whatever the world has.
func New(config Config) (*Cloud, error) {
	if !accountNumber.MatchString(config.Account) {
		return nil, fmt.Errorf("the sandbox's AWS: %q is no account number of twelve digits", config.Account)
	}
	if config.AccessKey == "" || config.Secret == "" {
		return nil, errors.New("the sandbox's AWS needs an access key")
	}
	if len(config.Versions) == 0 {
		return nil, errors.New("the sandbox's AWS has no Kubernetes version to offer")
	}
	if config.VCPULimit == 0 {
		config.VCPULimit = defaultVCPUs
	}
	policy, err := parsePolicy(config.Policy)
	if err != nil {
		return nil, fmt.Errorf("the policy of the sandbox's AWS user: %w", err)
	}
	c := &Cloud{Config: config, policy: policy, budgets: budget.NewBuckets(config.World.Clock)}
	c.services = map[string]*service{}
	for _, s := range []*service{ec2Service(), iamService(), stsService(), balancingService(), quotasService(), eksService()} {
		c.services[s.scope] = s
	}
	return c, nil
}

// Name is the provider's name.
func (c *Cloud) Name() string { return Name }

// Operations lists the operations, by their official names, that faults can be about.
func (c *Cloud) Operations() []string {
	var names []string
	for _, s := range c.services {
		for _, o := range s.operations {
			names = append(names, o.name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// user is the ARN of whom the credentials are.
func (c *Cloud) user() string { return "arn:aws:iam::" + c.Account + ":user/" + userName }

// ServeHTTP serves all services.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.serve(w, r) }
