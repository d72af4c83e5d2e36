package aws

import "strings"

// quotasService is Service Quotas.
func quotasService() *service {
	return &service{scope: "servicequotas", prefix: "servicequotas", words: quotasWords, protocol: targetJSON{"ServiceQuotasV20190624"},
		operations: []operation{{name: "GetServiceQuota", handle: getQuota}, {name: "GetAWSDefaultServiceQuota", handle: getQuota}, {name: "ListServiceQuotas", handle: listQuotas}}}
}

type wireQuota struct {
	ServiceCode, ServiceName, QuotaArn, QuotaCode, QuotaName string

	Value                   float64
	Unit                    string
	Adjustable, GlobalQuota bool
	QuotaAppliedAtLevel     string
}

func (x *exchange) wireQuota(q quota) wireQuota {
	names := map[string]string{"ec2": "Amazon Elastic Compute Cloud (Amazon EC2)", "vpc": "Amazon Virtual Private Cloud (Amazon VPC)",
		"eks": "Amazon Elastic Kubernetes Service (Amazon EKS)", "elasticloadbalancing": "Elastic Load Balancing (ELB)", "iam": "AWS Identity and Access Management (IAM)"}
	return wireQuota{ServiceCode: q.service, ServiceName: names[q.service], QuotaArn: x.arn("servicequotas", q.service+"/"+q.code), QuotaCode: q.code, QuotaName: q.name,
		Value: q.value, Unit: "None", Adjustable: q.adjustable, GlobalQuota: q.service == "iam", QuotaAppliedAtLevel: "ACCOUNT"}
}

func getQuota(x *exchange) (any, error) {
	var asked struct{ ServiceCode, QuotaCode string }
	if err := x.decode(&asked); err != nil {
		return nil, err
	}
	for _, q := range x.cloud.quotas() {
		if q.service == asked.ServiceCode && q.code == asked.QuotaCode {
			return map[string]any{"Quota": x.wireQuota(q)}, nil
		}
	}
	return nil, refuse("NoSuchResourceException", "The request failed because the specified service quota does not exist: %.40s %.40s", asked.ServiceCode, asked.QuotaCode)
}

func listQuotas(x *exchange) (any, error) {
	var asked struct {
		ServiceCode, QuotaCode, NextToken string
		MaxResults                        int
	}
	if err := x.decode(&asked); err != nil {
		return nil, err
	}
	rows := []wireQuota{}
	for _, q := range x.cloud.quotas() {
		if q.service == asked.ServiceCode && strings.HasPrefix(q.code, asked.QuotaCode) {
			rows = append(rows, x.wireQuota(q))
		}
	}
	if len(rows) == 0 {
		return nil, refuse("NoSuchResourceException", "The request failed because the specified service does not exist: %.40s", asked.ServiceCode)
	}
	return map[string]any{"Quotas": rows}, nil
}
