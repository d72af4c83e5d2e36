package gcp

//lint:file-ignore SA1019 Fields that are deprecated are still what stock clients send and read.

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"cloud.google.com/go/container/apiv1/containerpb"
)

func FuzzFilter(f *testing.F) {
	for _, seed := range []string{"name eq n-.*", `name="a b" AND labels.x:*`, "(name = x) (name ne y)", "a.b.c:1", "name = ", "AND", "(", "name eq ["} {
		f.Add(seed)
	}
	doc := document{"name": "n", "labels": map[string]any{"x": "y"}, "size": 1.0, "on": true}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := parseFilter(text)
		if err != nil {
			if told, ours := asRefusal(err); ours || told.status != 400 {
				t.Errorf("%q is answered by %v", text, err)
			}
			return
		}
		parsed.fits(doc)
		if strings.TrimSpace(text) == "" && !parsed.fits(doc) {
			t.Error("an empty filter does not fit")
		}
	})
}

func FuzzPaths(f *testing.F) {
	c := &Cloud{}
	c.routes = c.table()
	for _, r := range c.routes {
		f.Add(r.method, r.path)
	}
	f.Add("GET", "//::")
	f.Fuzz(func(t *testing.T, method, path string) {
		found, vars := c.match(method, path)
		if found.operation == "" {
			t.Errorf("%s %q is no operation", method, path)
		}
		for name, value := range vars {
			if value == "" || strings.Contains(value, "/") {
				t.Errorf("%s is %q", name, value)
			}
		}
		if link, ok := linkPath(path); ok && !strings.HasPrefix(link, "projects/"+ProjectID+"/") {
			t.Errorf("%q is a path: %q", path, link)
		}
	})
}

func FuzzTokens(f *testing.F) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.Fatal(err)
	}
	a := Account{ID: "a", Key: key}
	good, err := a.sign("b@c", time.Unix(1_800_000_000, 0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("ya29.AAAA")
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJub25lIn0.eyJpc3MiOiJhIn0.")
	f.Fuzz(func(t *testing.T, text string) {
		if email, _, err := a.read(text); err == nil && email != "b@c" {
			t.Errorf("%q is of %q", text, email)
		}
		if said, err := a.verify(text); err == nil {
			t.Errorf("nobody signed %+v", said)
		}
		if n, err := startOf(text); err == nil && n < 0 {
			t.Errorf("%q begins at %d", text, n)
		}
	})
}

func FuzzRole(f *testing.F) {
	f.Add([]byte("title: x\nincludedPermissions: [a.b.c]"))
	f.Add([]byte(`{"includedPermissions":["*"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		granted, err := parseRole(data)
		if err == nil && data != nil && (granted.all || granted.has("*") || len(granted.permissions) == 0) {
			t.Errorf("%q grants %+v", data, granted)
		}
	})
}

func FuzzDocuments(f *testing.F) {
	f.Add([]byte(`{"ipCidrRange":"10.0.0.0/20","secondaryIpRanges":[{"rangeName":"a","ipCidrRange":"10.1.0.0/16"}]}`))
	f.Add([]byte(`{"name":"n","labels":{"a":1},"nats":[null],"cluster":{"name":"c","nodePools":[{}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var doc document
		if json.Unmarshal(data, &doc) != nil || doc == nil {
			return
		}
		if ranges, err := rangesOf(doc); err == nil && !ranges[""].IsValid() {
			t.Errorf("%q has no range", data)
		}
		refersTo(doc, "x")
		if fingerprint(doc) == "" {
			t.Error("it has no fingerprint")
		}
		var m containerpb.CreateClusterRequest
		if protojson.Unmarshal(data, &m) == nil && m.Cluster != nil {
			_ = completeLocations(m.GetCluster(), "europe-west1")
		}
	})
}
