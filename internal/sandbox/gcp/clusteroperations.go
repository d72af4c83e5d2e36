package gcp

//lint:file-ignore SA1019 Fields that are deprecated are still what stock clients send and read.

import (
	"errors"
	"strings"
	"time"

	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/emptypb"

	"cloud.google.com/go/container/apiv1/containerpb"

	"github.com/m3o/platform/internal/sandbox/world"
)

// container is the operation as the container API shows it. Its links have the project's number.
func (o operation) container(now time.Time) *containerpb.Operation {
	byNumber := func(path string) string {
		return "https://container.googleapis.com/v1/" + strings.Replace(path, "projects/"+ProjectID+"/", "projects/"+projectNumber+"/", 1)
	}
	where := cluster{Location: o.Scope}.where()
	state := o.status(now)
	if o.Cancelled && !o.Done {
		state = "ABORTING"
	}
	m := &containerpb.Operation{Name: o.Name, Zone: o.Scope, Location: o.Scope, Detail: o.Detail,
		OperationType: containerpb.Operation_Type(containerpb.Operation_Type_value[o.Type]),
		Status:        containerpb.Operation_Status(containerpb.Operation_Status_value[state]),
		SelfLink:      byNumber("projects/" + ProjectID + "/" + where + "/operations/" + o.Name), TargetLink: byNumber(o.Target),
		StartTime: o.Transition.RequestedAt.Format(time.RFC3339Nano)}
	if o.Done {
		m.EndTime = o.EndedAt.Format(time.RFC3339Nano)
	} else {
		total := int64(100)
		m.Progress = &containerpb.OperationProgress{Status: m.Status, Metrics: []*containerpb.OperationProgress_Metric{
			{Name: "PERCENT_TOTAL", Value: &containerpb.OperationProgress_Metric_IntValue{IntValue: total}},
			{Name: "PERCENT_DONE", Value: &containerpb.OperationProgress_Metric_IntValue{IntValue: int64(o.progress(now))}},
		}}
	}
	if o.ErrorCode != "" {
		m.StatusMessage = o.ErrorMessage
		m.Error = &statuspb.Status{Code: int32(codeOf(o.ErrorCode)), Message: o.ErrorMessage}
	}
	return m
}

// codeOf is the number of a canonical code.
func codeOf(name string) codes.Code {
	for code, known := range map[codes.Code]string{codes.Canceled: "CANCELLED", codes.Aborted: "ABORTED", codes.Unavailable: "UNAVAILABLE",
		codes.FailedPrecondition: "FAILED_PRECONDITION"} {
		if known == name {
			return code
		}
	}
	return codes.Internal
}

// end writes down that an operation is over; with a code, that it failed.
func (o operation) end(tx *world.Tx, now time.Time, code, words string) error {
	o.Done, o.EndedAt, o.ErrorCode, o.ErrorMessage = true, now, code, words
	return putOperation(tx, o)
}

// clusterOperationOf loads the operation of the path.
func (r *request) containerOperation(tx *world.Tx) (operation, error) {
	location, err := r.location()
	if err != nil {
		return operation{}, err
	}
	name := r.vars["operation"]
	o, err := world.Get[operation](tx, ref(kindOperation, name))
	if isNotFound(err) || err == nil && (o.Service != serviceContainer || o.Scope != location) {
		err = notFound("Not found: projects/%s/%s/operations/%s.", ProjectID, cluster{Location: location}.where(), name)
	}
	return o, err
}

func getClusterOperation(r *request) (any, error) {
	var o operation
	err := r.View(func(tx *world.Tx) (err error) {
		o, err = r.containerOperation(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return o.container(r.At), nil
}

func listClusterOperations(r *request) (any, error) {
	if r.vars["location"] != "-" {
		if _, err := r.location(); err != nil {
			return nil, err
		}
	}
	answer := &containerpb.ListOperationsResponse{}
	err := r.View(func(tx *world.Tx) error {
		all, err := world.List[operation](tx, ref(kindOperation, ""))
		for _, o := range all {
			if o.Service == serviceContainer && (r.vars["location"] == "-" || o.Scope == r.vars["location"]) {
				answer.Operations = append(answer.Operations, o.container(r.At))
			}
		}
		return err
	})
	return answer, err
}

// cancelClusterOperation has an operation end at the next opportunity, whatever it has reached. A deletion goes on.
func cancelClusterOperation(r *request) (any, error) {
	err := r.Commit(func(tx *world.Tx) error {
		o, err := r.containerOperation(tx)
		if err != nil || o.Done || o.Cancelled {
			return err
		}
		if o.Type == containerpb.Operation_DELETE_CLUSTER.String() || o.Type == containerpb.Operation_DELETE_NODE_POOL.String() {
			return precondition("Operation %s of type %s cannot be cancelled.", o.Name, o.Type)
		}
		o.Cancelled = true
		c, err := world.Get[cluster](tx, ref(kindCluster, o.Key))
		if err != nil {
			return err
		}
		effect := r.Effect(world.Updated, kindCluster, c.ID, c.Name)
		effect.State = "aborting"
		return errors.Join(putOperation(tx, o), tx.Record(effect))
	})
	return &emptypb.Empty{}, err
}
