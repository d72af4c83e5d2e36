package gcp

import (
	"errors"
	"slices"
	"strings"

	"google.golang.org/api/cloudresourcemanager/v1"
	"google.golang.org/api/serviceusage/v1"

	"github.com/m3o/platform/internal/sandbox/world"
)

// enabledServices are the APIs that the project has on from the beginning.
var enabledServices = []string{"cloudresourcemanager.googleapis.com", "compute.googleapis.com", "container.googleapis.com", "iam.googleapis.com",
	"iamcredentials.googleapis.com", "serviceusage.googleapis.com"}

// apiService is an API that the project has on, or not.
type apiService struct {
	Name    string `json:"name"`
	Enabled bool   `json:"enabled"`
}

func (s apiService) shown() document {
	state := "DISABLED"
	if s.Enabled {
		state = "ENABLED"
	}
	return document{"name": "projects/" + projectNumber + "/services/" + s.Name, "parent": "projects/" + projectNumber, "state": state,
		"config": document{"name": s.Name, "title": strings.TrimSuffix(s.Name, ".googleapis.com") + " API"}}
}

func getProject(*request) (any, error) {
	return &cloudresourcemanager.Project{ProjectId: ProjectID, Name: "M3O sandbox", LifecycleState: "ACTIVE", CreateTime: "2026-01-12T10:11:22.908Z",
		ProjectNumber: 512904718346, Parent: &cloudresourcemanager.ResourceId{Type: "organization", Id: "418093527716"}}, nil
}

// maxTested is how many permissions one call can ask about.
const maxTested = 100

// testIamPermissions says which of the permissions the caller has.
func testIamPermissions(r *request) (any, error) {
	var asked cloudresourcemanager.TestIamPermissionsRequest
	if err := r.decode(&asked); err != nil {
		return nil, err
	}
	if n := len(asked.Permissions); n == 0 || n > maxTested {
		return nil, invalid("Between 1 and %d permissions can be tested, not %d.", maxTested, n)
	}
	answer := &cloudresourcemanager.TestIamPermissionsResponse{}
	for _, permission := range asked.Permissions {
		if strings.Count(permission, ".") < 2 || strings.Contains(permission, "*") {
			return nil, invalid("Permission %s is not valid for this resource.", permission)
		}
		if r.cloud.granted.has(permission) {
			answer.Permissions = append(answer.Permissions, permission)
		}
	}
	return answer, nil
}

// service finds an API. Those that nobody knows are not found there either; here it is those that are no Google API.
func service(tx *world.Tx, name string) (apiService, error) {
	if !strings.HasSuffix(name, ".googleapis.com") {
		return apiService{}, notFound("Not found or permission denied for service(s): %s.", name)
	}
	found, err := world.Get[apiService](tx, ref(kindService, name))
	if isNotFound(err) {
		return apiService{Name: name}, nil
	}
	return found, err
}

func getService(r *request) (any, error) {
	var found apiService
	err := r.View(func(tx *world.Tx) (err error) {
		found, err = service(tx, r.vars["service"])
		return err
	})
	return found.shown(), err
}

func listServices(r *request) (any, error) {
	wanted := r.Request.URL.Query().Get("filter")
	if wanted != "" && wanted != "state:ENABLED" && wanted != "state:DISABLED" {
		return nil, invalid("The filter %q is neither state:ENABLED nor state:DISABLED.", wanted)
	}
	services := []document{}
	err := r.View(func(tx *world.Tx) error {
		all, err := world.List[apiService](tx, ref(kindService, ""))
		for _, one := range all {
			if wanted == "" || one.Enabled == (wanted == "state:ENABLED") {
				services = append(services, one.shown())
			}
		}
		return err
	})
	return document{"services": services}, err
}

// maxBatchGet and maxBatchEnable are how many services one call can be about.
const (
	maxBatchGet    = 30
	maxBatchEnable = 20
)

func batchGetServices(r *request) (any, error) {
	names := r.Request.URL.Query()["names"]
	if len(names) == 0 || len(names) > maxBatchGet {
		return nil, invalid("Between 1 and %d services can be asked for, not %d.", maxBatchGet, len(names))
	}
	var services []document
	err := r.View(func(tx *world.Tx) error {
		for _, name := range names {
			one, err := service(tx, name[strings.LastIndexByte(name, '/')+1:])
			if err != nil {
				return err
			}
			services = append(services, one.shown())
		}
		return nil
	})
	return document{"services": services}, err
}

// batchEnableServices has the project use services. What is enabled already makes the operation end at once.
func batchEnableServices(r *request) (any, error) {
	var asked serviceusage.BatchEnableServicesRequest
	if err := r.decode(&asked); err != nil {
		return nil, err
	}
	if n := len(asked.ServiceIds); n == 0 || n > maxBatchEnable {
		return nil, invalid("Between 1 and %d services can be enabled, not %d.", maxBatchEnable, n)
	}
	var o operation
	err := r.Commit(func(tx *world.Tx) (err error) {
		if o, err = r.newOperation(serviceUsage, global, "batchEnable"); err != nil {
			return err
		}
		o.Name = "acf.p2-" + projectNumber + "-" + strings.TrimPrefix(o.Name, "operation-")
		takes := serviceCheck
		for _, name := range asked.ServiceIds {
			one, err := service(tx, name)
			if err != nil {
				return err
			}
			if !one.Enabled {
				takes = serviceEnabling
			}
			o.Services = append(o.Services, one.Name)
		}
		slices.Sort(o.Services)
		if o.Transition, err = r.Begin(tx, o.Name, takes, "An internal exception occurred."); err != nil {
			return err
		}
		return putOperation(tx, o)
	})
	return o.usage(), err
}

// finishEnabling switches on what an operation is about.
func (o operation) finishEnabling(tx *world.Tx) error {
	if o.Transition.Fail != "" {
		return nil
	}
	var problems []error
	for _, name := range o.Services {
		one, err := service(tx, name)
		if err != nil || one.Enabled {
			problems = append(problems, err)
			continue
		}
		one.Enabled = true
		asked, ready := o.Transition.RequestedAt, o.Transition.Due
		problems = append(problems, tx.Put(ref(kindService, name), world.Meta{Name: name}, one), tx.Record(world.Effect{Provider: Name,
			Operation: o.Transition.Operation, Kind: world.Created, Resource: kindService, ID: name, Name: name, Key: o.Transition.Key,
			RequestedAt: &asked, ReadyAt: &ready}))
	}
	return errors.Join(problems...)
}

// usage is the operation as service usage shows it.
func (o operation) usage() document {
	doc := document{"name": "operations/" + o.Name, "metadata": document{"@type": "type.googleapis.com/google.api.serviceusage.v1.OperationMetadata",
		"resourceNames": o.names()}}
	if !o.Done {
		return doc
	}
	doc["done"] = true
	if o.ErrorCode != "" {
		doc["error"] = document{"code": 13, "message": o.ErrorMessage}
		return doc
	}
	services := []document{}
	for _, name := range o.Services {
		services = append(services, apiService{Name: name, Enabled: true}.shown())
	}
	doc["response"] = document{"@type": "type.googleapis.com/google.api.serviceusage.v1.BatchEnableServicesResponse", "services": services}
	return doc
}

func (o operation) names() []string {
	names := make([]string, 0, len(o.Services))
	for _, name := range o.Services {
		names = append(names, "projects/"+projectNumber+"/services/"+name)
	}
	return names
}

func getServiceOperation(r *request) (any, error) {
	var o operation
	err := r.View(func(tx *world.Tx) (err error) {
		o, err = world.Get[operation](tx, ref(kindOperation, r.vars["operation"]))
		if isNotFound(err) || err == nil && o.Service != serviceUsage {
			err = notFound("Operation operations/%s was not found.", r.vars["operation"])
		}
		return err
	})
	return o.usage(), err
}
