package aws

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/m3o/platform/internal/region"
)

// What EC2 makes is marked with the owner's tags and its name.

// nameTag is how AWS's console calls things.
const nameTag = "Name"

// clusterTag is the key by which what a cluster makes says so, and a subnet that load balancers of the cluster may use it.
func clusterTag(cluster string) string { return "kubernetes.io/cluster/" + cluster }

// controllerTag is the key of what the AWS Load Balancer Controller makes; its value is the cluster's name.
const controllerTag = "elbv2.k8s.aws/cluster"

// marked is a tag specification for something that is made.
func marked(kind types.ResourceType, name string, tags region.Tags, more ...map[string]string) []types.TagSpecification {
	return []types.TagSpecification{{ResourceType: kind, Tags: tagList(name, tags, more...)}}
}

func tagList(name string, tags region.Tags, more ...map[string]string) []types.Tag {
	all := map[string]string{nameTag: name}
	maps.Copy(all, tags)
	for _, m := range more {
		maps.Copy(all, m)
	}
	var list []types.Tag
	for _, key := range slices.Sorted(maps.Keys(all)) {
		list = append(list, types.Tag{Key: aws.String(key), Value: aws.String(all[key])})
	}
	return list
}

func tagsOf(list []types.Tag) map[string]string {
	all := map[string]string{}
	for _, t := range list {
		all[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return all
}

// isOwn reports whether tags mark something as the region's.
func isOwn(tags map[string]string, owner region.Key) bool {
	of, marked := region.Tags(tags).Owner()
	return marked && of == owner
}

// ofOwner filters what is the region's.
func ofOwner(owner region.Key) []types.Filter {
	var filters []types.Filter
	tags := owner.Tags()
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		filters = append(filters, filter("tag:"+key, tags[key]))
	}
	return filters
}

func filter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}

// token is an idempotency token: equal requests have equal ones, and no other. in says for what the request is made, if it does
// not say so itself (a network or cluster that a later one of the same name is not).
func token(in string, request any) *string {
	text, err := json.Marshal(request)
	if err != nil {
		panic(err) // a request is plain data
	}
	sum := sha256.Sum256(append([]byte(in+"\n"), text...))
	return aws.String("m3o-" + hex.EncodeToString(sum[:16]))
}
