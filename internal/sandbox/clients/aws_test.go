//go:build clients

package clients

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/cloud/aws/awstest"
)

// useAWS has aws describe the region's network and cluster and write a kubeconfig, by which kubectl asks aws for a token; and
// Terraform import the VPC.
func useAWS(t *testing.T, s *sandboxed) {
	account := awstest.Account{URL: s.at.Providers[s.cloud], Control: s.at.Control, Credentials: s.credentials()}
	region := build(t, account.Provider(t), awstest.Region())
	for _, aws := range s.find("aws", "eks describe-cluster, eks update-kubeconfig, ec2 describe-vpcs") {
		place := append([]string{"--region", region.spec.Location}, whereFor(t, aws, account.URL)...)
		aws.run("eks describe-cluster", says("ACTIVE "+region.network.ID), append([]string{"eks", "describe-cluster", "--name", region.cluster.Name,
			"--query", "join(' ', [cluster.status, cluster.resourcesVpcConfig.vpcId])", "--output", "text"}, place...)...)
		aws.run("ec2 describe-vpcs", says("available 10.20.0.0/16"), append([]string{"ec2", "describe-vpcs", "--vpc-ids", region.network.ID,
			"--query", "join(' ', [Vpcs[0].State, Vpcs[0].CidrBlock])", "--output", "text"}, place...)...)
		kubeconfig := filepath.Join(s.home, "kubeconfig-"+strconv.Itoa(len(s.trials)))
		if aws.run("eks update-kubeconfig", says(), append([]string{"eks", "update-kubeconfig", "--name", region.cluster.Name, "--kubeconfig", kubeconfig}, place...)...) {
			s.first(aws, func() { s.nodesBy(kubeconfig, aws.path) })
		}
	}
	s.importVPC(region)
}

// whereFor is what an aws is told that does not know AWS_ENDPOINT_URL, as those before 1.29 and 2.13: Debian has such a one.
func whereFor(t *testing.T, aws client, url string) []string {
	t.Helper()
	said, err := aws.try("--version")
	must(t, err)
	var major, minor int
	if _, err := fmt.Sscanf(said, "aws-cli/%d.%d", &major, &minor); err != nil {
		t.Fatalf("%s --version says %q: %v", aws.path, said, err)
	}
	if major == 1 && minor < 29 || major == 2 && minor < 13 {
		return []string{"--endpoint-url", url}
	}
	return nil
}

// mirrors are where machines have Terraform's providers, for want of their registry: the folders that Terraform looks at by itself
// (https://developer.hashicorp.com/terraform/cli/config/config-file#implied-local-mirror-directories), and those of programs of their own.
var mirrors = []string{"/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins", "/opt/*"}

// mirror is the first of them that has the AWS provider, "" if none has.
func mirror() string {
	for _, folder := range mirrors {
		found, err := filepath.Glob(filepath.Join(folder, "registry.terraform.io", "hashicorp", "aws"))
		if err == nil && len(found) > 0 {
			return filepath.Dir(filepath.Dir(filepath.Dir(found[0])))
		}
	}
	return ""
}

// importVPC has Terraform take the region's VPC over, as it would be described by whoever made it by hand: nothing is to be changed.
func (s *sandboxed) importVPC(region *made) {
	const what = "import the VPC with an empty plan"
	found := s.find("terraform", what)
	plugins := mirror()
	if plugins == "" && len(found) > 0 {
		s.note("terraform's AWS provider in "+strings.Join(mirrors, ", "), what, notThere)
		return
	}
	dir := filepath.Join(s.home, "terraform")
	must(s.t, os.Mkdir(dir, 0o700))
	must(s.t, os.WriteFile(filepath.Join(dir, "cli.tfrc"), fmt.Appendf(nil, "disable_checkpoint = true\nprovider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", plugins), 0o600))
	must(s.t, os.WriteFile(filepath.Join(dir, "main.tf"), []byte(vpcFile(region)), 0o600))
	s.env = append(s.env, "TF_CLI_CONFIG_FILE="+filepath.Join(dir, "cli.tfrc"), "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1")
	for _, terraform := range found {
		// With -detailed-exitcode a plan that is not empty is a failure.
		for _, step := range [][]string{{"init", "-no-color", "-input=false"}, {"import", "-no-color", "-input=false", "aws_vpc.region", region.network.ID},
			{"plan", "-no-color", "-input=false", "-detailed-exitcode"}} {
			if !terraform.run(step[0]+" ("+what+")", says(), append([]string{"-chdir=" + dir}, step...)...) {
				return
			}
		}
	}
}

// vpcFile describes the VPC that our adapter makes.
func vpcFile(region *made) string {
	spec := region.spec.NetworkSpec()
	var tags []string
	for _, name := range slices.Sorted(maps.Keys(spec.Tags)) {
		tags = append(tags, fmt.Sprintf("    %q = %q", name, spec.Tags[name]))
	}
	tags = append(tags, fmt.Sprintf("    \"Name\" = %q", region.network.Name), fmt.Sprintf("    \"m3o-zones\" = %q", strings.Join(region.network.Zones, " ")))
	return fmt.Sprintf(`terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

provider "aws" {
  region = %q
}

resource "aws_vpc" "region" {
  cidr_block           = %q
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags = {
%s
  }
}
`, spec.Location, spec.CIDR, strings.Join(tags, "\n"))
}
