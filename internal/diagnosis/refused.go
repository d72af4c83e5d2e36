package diagnosis

import (
	"fmt"
	"regexp"
	"strings"
)

// quota is what the API server says of a pod that a ResourceQuota refuses.
var quota = regexp.MustCompile(`exceeded quota: [^,]+, requested: ([^,]+(?:,[a-z][^, ]*=[^, ]+)*), used: [^ ]+, limited: ([^ ]+)`)

// Refused explains why the pods of a workload are not made, from what its controller says.
func Refused(message string) string {
	found := quota.FindStringSubmatch(message)
	if found == nil {
		return "its instances are refused: " + Short(message)
	}
	var limits []string
	for limit := range strings.SplitSeq(found[2], ",") {
		name, amount, _ := strings.Cut(limit, "=")
		name = strings.TrimPrefix(strings.TrimPrefix(name, "requests."), "limits.")
		if name == "pods" {
			name = "instances"
		}
		limits = append(limits, amount+" "+name)
	}
	return fmt.Sprintf("the project has used up what it may have in the region (%s): run fewer replicas, or remove services", strings.Join(limits, ", "))
}
