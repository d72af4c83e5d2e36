package aws

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"

	"github.com/m3o/platform/internal/fault"
)

// quota is a limit of the account in a location (docs.aws.amazon.com/general/latest/gr/aws-service-information.html).
type quota struct{ service, code, name string }

func (q quota) String() string { return q.code + " (" + q.name + ")" }

// The quotas that a region draws from.
var (
	cpuQuota     = quota{"ec2", "L-1216C47A", "running on-demand standard instances, in vCPUs"}
	vpcQuota     = quota{"vpc", "L-F678F1CE", "VPCs per Region"}
	addressQuota = quota{"ec2", "L-0263D0A3", "EC2-VPC elastic IPs"}
	natQuota     = quota{"vpc", "L-FE5A380F", "NAT gateways per availability zone"}
)

// quota is the account's, as applied. Of some quotas Service Quotas has only AWS's default,
// which is another call with another permission: those are not known.
func (at *place) quota(ctx context.Context, q quota) (limit int, known bool, err error) {
	found, err := at.quotas.GetServiceQuota(ctx, &servicequotas.GetServiceQuotaInput{ServiceCode: aws.String(q.service), QuotaCode: aws.String(q.code)})
	err = at.explain(err, "describe the quota "+q.String())
	switch {
	case fault.Is(err, fault.NotFound):
		return 0, false, nil
	case err != nil:
		return 0, false, err
	case found.Quota == nil || found.Quota.Value == nil:
		return 0, false, nil
	}
	return int(aws.ToFloat64(found.Quota.Value)), true, nil
}

// pool names a quota as plans do.
func (q quota) pool(location string) string {
	return fmt.Sprintf("%s of quota %s in %s", q.name, q.code, location)
}
