package azure

import (
	"strings"
	"testing"
)

// FuzzPath has any path matched: it ends, and parameters are parts of it.
func FuzzPath(f *testing.F) {
	for _, path := range []string{"/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n", "//", "/a/v2.0/.well-known/openid-configuration",
		"/subscriptions/s/providers/Microsoft.Authorization/roleAssignments/r", "/providers/Microsoft.Authorization/permissions", "/subscriptions/s/PROVIDERS/x"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		for _, method := range []string{"GET", "PUT", "POST"} {
			r, params := match(method, path)
			for name, value := range params {
				if value == "" && name != "scope" || !strings.Contains("/"+strings.Join(split(path), "/"), value) {
					t.Errorf("%s of %s is %q", name, r.operation, value)
				}
			}
		}
		_ = parentKey(path)
		_ = localName(path)
		_ = groupKey(path)
		if typ := typeOf(path); typ != "" && !strings.Contains(typ, "/") {
			t.Errorf("the type of %q is %q", path, typ)
		}
	})
}

// FuzzPolicy has any file read as a role definition: what is taken has lists.
func FuzzPolicy(f *testing.F) {
	f.Add([]byte(`{"Actions":["*"]}`))
	f.Add([]byte(`{"properties":{"permissions":[{"actions":["*/read"],"dataActions":[]}]}}`))
	f.Add([]byte(`{"Actions":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parsePolicy(data)
		if err != nil {
			return
		}
		if len(p.permissions) == 0 {
			t.Error("it allows nothing and is taken")
		}
		for _, one := range p.permissions {
			if one.Actions == nil || one.NotDataActions == nil {
				t.Error("it has no list")
			}
		}
		p.mayDo("Microsoft.Network/virtualNetworks/write")
		p.mayTouch("Microsoft.ContainerService/managedClusters/*/write")
	})
}

// FuzzPattern matches actions: everything fits itself and "*".
func FuzzPattern(f *testing.F) {
	f.Add("a/*/b", "a/c/b")
	f.Add("*", "")
	f.Add("**", "a")
	f.Fuzz(func(t *testing.T, pattern, action string) {
		matches(pattern, action)
		if !matches("*", action) || !strings.Contains(action, "*") && !matches(action, action) {
			t.Errorf("%q does not fit itself", action)
		}
	})
}

// FuzzFilter reads filters of lists.
func FuzzFilter(f *testing.F) {
	f.Add("tagName eq 'a' and tagValue eq 'b'")
	f.Add("resourceType eq 'x' and resourceGroup eq 'y'")
	f.Fuzz(func(t *testing.T, filter string) {
		keep, err := listFilter(filter)
		if err == nil {
			keep(&resource{Body: map[string]any{"tags": map[string]any{"a": "b", "c": 1}}})
		}
		if n, err := skipped(filter); err == nil && n < 0 {
			t.Errorf("%q skips %d", filter, n)
		}
	})
}
