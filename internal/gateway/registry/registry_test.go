package registry

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/release"
)

var till = release.Key{Project: "shop", Name: "till"}

func TestInstancesAreWrittenAsGoMicroReadsThem(t *testing.T) {
	i := Instance{Service: till, ID: "till-7", Address: "10.0.0.7:8080", Release: 3, Access: release.Public, Preflight: release.Public, Timeout: 30 * time.Second, MaxBody: 10, Mirrored: true}
	if got, want := i.Key(), "/micro/registry/shop.till/till-7"; got != want {
		t.Errorf("key %s, want %s", got, want)
	}
	want := `{"name":"shop.till","version":"3","metadata":{"access":"public","max_body":"10","preflight":"public","timeout":"30s"},"endpoints":[],` +
		`"nodes":[{"id":"till-7","address":"10.0.0.7:8080","metadata":{"protocol":"http","registrar":"m3o","release":"3"}}]}`
	if got := string(i.Encode()); got != want {
		t.Errorf("value\n%s\nwant\n%s", got, want)
	}
	back, err := Parse(i.Key(), i.Encode(), "default")
	if err != nil || len(back) != 1 || back[0] != i {
		t.Errorf("read back %+v, %v", back, err)
	}
}

// What go-micro v4's own registry wrote for a gRPC service.
const written = `{"name":"greeter","version":"latest","metadata":null,"endpoints":[{"name":"Greeter.Hello","request":{"name":"Request",` +
	`"type":"Request","values":[{"name":"name","type":"string","values":null}]},"response":{"name":"Response","type":"Response","values":null},` +
	`"metadata":{}}],"nodes":[{"id":"greeter-7c1f5cd9-2e7c-4a2a-9df2-7f2b4c7f9a11","address":"10.0.0.9:41234","metadata":{"broker":"http",` +
	`"protocol":"grpc","registry":"etcd","server":"grpc","transport":"grpc"}}]}`

func TestServicesThatRegisterThemselvesAreRead(t *testing.T) {
	got, err := Parse("/micro/registry/greeter/greeter-7c1f5cd9-2e7c-4a2a-9df2-7f2b4c7f9a11", []byte(written), "default")
	if err != nil {
		t.Fatal(err)
	}
	want := Instance{Service: release.Key{Project: "default", Name: "greeter"}, ID: "greeter-7c1f5cd9-2e7c-4a2a-9df2-7f2b4c7f9a11",
		Address: "10.0.0.9:41234", Access: release.ByKey, Preflight: release.ByKey, HTTP2: true}
	if len(got) != 1 || got[0] != want {
		t.Errorf("got %+v", got)
	}
}

func TestUnsoundValuesRouteNowhere(t *testing.T) {
	value := func(change func(*Service)) []byte {
		s := Service{Name: "shop.till", Nodes: []Node{{ID: "a", Address: "10.0.0.1:80"}}}
		change(&s)
		body, _ := json.Marshal(s)
		return body
	}
	for name, c := range map[string]struct {
		key   string
		value []byte
	}{
		"not JSON":        {"/micro/registry/shop.till/a", []byte("{")},
		"null":            {"/micro/registry/shop.till/a", []byte("null")},
		"another service": {"/micro/registry/shop.bank/a", value(func(*Service) {})},
		"another prefix":  {"/other/shop.till/a", value(func(*Service) {})},
		"no nodes":        {"/micro/registry/shop.till/a", value(func(s *Service) { s.Nodes = nil })},
		"many nodes":      {"/micro/registry/shop.till/a", value(func(s *Service) { s.Nodes = slices.Repeat(s.Nodes, maxNodes+1) })},
		"no id":           {"/micro/registry/shop.till/a", value(func(s *Service) { s.Nodes[0].ID = "" })},
		"no port":         {"/micro/registry/shop.till/a", value(func(s *Service) { s.Nodes[0].Address = "10.0.0.1" })},
		"port 0":          {"/micro/registry/shop.till/a", value(func(s *Service) { s.Nodes[0].Address = "10.0.0.1:0" })},
		"URL as address":  {"/micro/registry/shop.till/a", value(func(s *Service) { s.Nodes[0].Address = "http://10.0.0.1:80" })},
		"path in address": {"/micro/registry/shop.till/a", value(func(s *Service) { s.Nodes[0].Address = "a/b:80" })},
		"user in address": {"/micro/registry/shop.till/a", value(func(s *Service) { s.Nodes[0].Address = "u@h:80" })},
		"a host's name":   {"/micro/registry/shop.till/a", value(func(s *Service) { s.Nodes[0].Address = "till.shop:80" })},
		"IPv6 zone":       {"/micro/registry/shop.till/a", value(func(s *Service) { s.Nodes[0].Address = "[fe80::1%eth0]:80" })},
		"dots":            {"/micro/registry/go.micro.srv/a", value(func(s *Service) { s.Name = "go.micro.srv" })},
		"capitals":        {"/micro/registry/Till/a", value(func(s *Service) { s.Name = "Till" })},
		"too large":       {"/micro/registry/shop.till/a", value(func(s *Service) { s.Version = strings.Repeat("x", maxValue) })},
	} {
		if got, err := Parse(c.key, c.value, "default"); err == nil {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("/micro/registry/greeter/a", []byte(written))
	f.Add("/micro/registry/shop.till/a", Instance{Service: till, ID: "a", Address: "[fd00::1]:80", Mirrored: true}.Encode())
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		instances, err := Parse(key, value, "default")
		if err != nil && instances != nil {
			t.Error("instances beside an error")
		}
		for _, i := range instances {
			if checkAddress(i.Address) != nil || i.ID == "" || (i.Access != release.Public && i.Access != release.ByKey) {
				t.Errorf("unsound instance %+v", i)
			}
			if k, ok := Split(Name(i.Service), "default"); !ok || k != i.Service {
				t.Errorf("unsound name %+v", i.Service)
			}
			if again, err := Parse(i.Key(), i.Encode(), "default"); err != nil || len(again) != 1 || again[0] != i {
				t.Errorf("%+v is read back as %+v, %v", i, again, err)
			}
		}
	})
}
