package gcp_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/cloudresourcemanager/v1"
	"google.golang.org/api/compute/v1"
	"google.golang.org/api/iam/v1"
	"google.golang.org/api/serviceusage/v1"

	"github.com/m3o/platform/internal/sandbox/gcp"
)

func TestTokensAreIssuedForTheAccountsKey(t *testing.T) {
	p := newProject(t)
	token, err := p.tokens.Token()
	must(t, err)
	if left := time.Until(token.Expiry); left < 10*time.Minute || left > time.Hour || !strings.HasPrefix(token.AccessToken, "ya29.") {
		t.Errorf("the token is %q and ends in %s", token.AccessToken, left)
	}
	status, text := p.ask("GET", "/tokeninfo?access_token="+url.QueryEscape(token.AccessToken), "")
	if status != http.StatusOK || !strings.Contains(text, "m3o-worker@m3o-sandbox.iam.gserviceaccount.com") {
		t.Errorf("%d: %s", status, text)
	}
	for bad, words := range map[string]string{"": "missing required authentication credential", "ya29.x": "invalid authentication credentials",
		token.AccessToken + "x": "invalid authentication credentials", token.AccessToken[:60] + "A" + token.AccessToken[61:]: "invalid authentication credentials"} {
		status, text := p.askAs(bad, "GET", "/v1/projects/m3o-sandbox", "")
		if status != http.StatusUnauthorized || !strings.Contains(text, words) || !strings.Contains(text, "UNAUTHENTICATED") {
			t.Errorf("%q: %d: %s", bad, status, text)
		}
	}
}

func TestAssertionsOfOthersAreRefused(t *testing.T) {
	p := newProject(t)
	stranger, err := gcp.NewAccount("m3o-worker")
	must(t, err)
	nobody := stranger
	nobody.ID = "nobody"
	for words, a := range map[string]gcp.Account{"Invalid JWT Signature": stranger, "account not found": nobody} {
		file, err := a.File(p.url)
		must(t, err)
		key, err := google.JWTConfigFromJSON(file, compute.CloudPlatformScope)
		must(t, err)
		_, err = key.TokenSource(context.Background()).Token()
		if err == nil || !strings.Contains(err.Error(), "invalid_grant") || !strings.Contains(err.Error(), words) {
			t.Errorf("got %v, want %q", err, words)
		}
	}
	ours, err := account()
	must(t, err)
	file, err := ours.File(p.url)
	must(t, err)
	key, err := google.JWTConfigFromJSON(file, "https://www.googleapis.com/auth/calendar")
	must(t, err)
	if _, err = key.TokenSource(context.Background()).Token(); err == nil || !strings.Contains(err.Error(), "invalid_scope") {
		t.Errorf("another scope: %v", err)
	}
}

func TestServiceAccountIsKnownLate(t *testing.T) {
	p := open(t, t.TempDir(), 0.02, gcp.Config{})
	const name = "projects/m3o-sandbox/serviceAccounts/nodes-1@m3o-sandbox.iam.gserviceaccount.com"
	made, err := p.accounts.Create("projects/m3o-sandbox", &iam.CreateServiceAccountRequest{AccountId: "nodes-1",
		ServiceAccount: &iam.ServiceAccount{Description: "of the test"}}).Do()
	must(t, err)
	equal(t, "its name", made.Name, name)
	_, err = p.accounts.Get(name).Do()
	refused(t, err, http.StatusNotFound, "notFound", "Unknown service account")
	_, err = p.accounts.Create("projects/m3o-sandbox", &iam.CreateServiceAccountRequest{AccountId: "nodes-1"}).Do()
	refused(t, err, http.StatusConflict, "alreadyExists", "Service account nodes-1 already exists within project projects/m3o-sandbox")
	err = p.bind("roles/logging.logWriter", "serviceAccount:"+nodesAccount)
	refused(t, err, http.StatusBadRequest, "badRequest", "Service account nodes-1@m3o-sandbox.iam.gserviceaccount.com does not exist")
	eventually(t, "it is known", func() bool { _, err := p.accounts.Get(name).Do(); return err == nil })
	must(t, p.bind("roles/logging.logWriter", "serviceAccount:"+nodesAccount))
	_, err = p.accounts.Delete(name).Do()
	must(t, err)
	policy, err := p.projects.GetIamPolicy("m3o-sandbox", &cloudresourcemanager.GetIamPolicyRequest{}).Do()
	must(t, err)
	gone := "deleted:serviceAccount:" + nodesAccount + "?uid=" + made.UniqueId
	if !slices.ContainsFunc(policy.Bindings, func(b *cloudresourcemanager.Binding) bool { return slices.Contains(b.Members, gone) }) {
		t.Errorf("the policy has not %s: %+v", gone, policy.Bindings)
	}
	again, err := p.accounts.Create("projects/m3o-sandbox", &iam.CreateServiceAccountRequest{AccountId: "nodes-1"}).Do()
	must(t, err)
	if again.UniqueId == made.UniqueId {
		t.Error("an account that is made anew has the number of the old one")
	}
	policy.Bindings = slices.DeleteFunc(policy.Bindings, func(b *cloudresourcemanager.Binding) bool { return slices.Contains(b.Members, gone) })
	_, err = p.projects.SetIamPolicy("m3o-sandbox", &cloudresourcemanager.SetIamPolicyRequest{Policy: policy}).Do()
	must(t, err)
	refused(t, p.bind("roles/viewer", gone), http.StatusBadRequest, "badRequest", "Deleted members cannot be added")
	p.balanced()
}

// bind adds a member to a role.
func (p *project) bind(role, member string) error {
	p.t.Helper()
	policy, err := p.projects.GetIamPolicy("m3o-sandbox", &cloudresourcemanager.GetIamPolicyRequest{}).Do()
	must(p.t, err)
	policy.Bindings = append(policy.Bindings, &cloudresourcemanager.Binding{Role: role, Members: []string{member}})
	_, err = p.projects.SetIamPolicy("m3o-sandbox", &cloudresourcemanager.SetIamPolicyRequest{Policy: policy}).Do()
	return err
}

func TestPolicyOfAnotherEtagIsAborted(t *testing.T) {
	p := newProject(t)
	mine, err := p.projects.GetIamPolicy("m3o-sandbox", &cloudresourcemanager.GetIamPolicyRequest{}).Do()
	must(t, err)
	must(t, p.bind("roles/viewer", "user:ann@example.com"))
	_, err = p.projects.SetIamPolicy("m3o-sandbox", &cloudresourcemanager.SetIamPolicyRequest{Policy: mine}).Do()
	refused(t, err, http.StatusConflict, "aborted", "There were concurrent policy changes")
	tells(t, err, `"status": "ABORTED"`)
}

// role is one that lacks what is left out.
func role(without ...string) []byte {
	all := []string{"compute.networks.create", "compute.networks.get", "compute.networks.updatePolicy", "compute.subnetworks.create", "compute.globalOperations.get",
		"compute.regionOperations.get", "container.clusters.create", "container.clusters.get", "container.operations.get", "iam.serviceAccounts.create",
		"iam.serviceAccounts.get", "iam.serviceAccounts.actAs", "container.clusterRoles.bind", "container.clusterRoleBindings.create"}
	all = slices.DeleteFunc(all, func(p string) bool { return slices.Contains(without, p) })
	return []byte("title: M3O worker\nstage: GA\nincludedPermissions:\n- " + strings.Join(all, "\n- ") + "\n")
}

func TestRoleIsEnforced(t *testing.T) {
	p := open(t, t.TempDir(), 0.001, gcp.Config{Policy: role("iam.serviceAccounts.actAs")})
	p.networks("c")
	p.account()
	_, err := p.compute.Networks.Delete("m3o-sandbox", "c").Do()
	refused(t, err, http.StatusForbidden, "forbidden", "Required 'compute.networks.delete' permission for 'projects/m3o-sandbox/global/networks/c'")
	_, err = p.delete("c")
	refused(t, err, http.StatusForbidden, "forbidden", `Required "container.clusters.delete" permission(s) for "projects/m3o-sandbox"`)
	_, err = p.accounts.Delete("projects/m3o-sandbox/serviceAccounts/" + nodesAccount).Do()
	refused(t, err, http.StatusForbidden, "forbidden", "Permission 'iam.serviceAccounts.delete' denied on resource")
	tells(t, err, "IAM_PERMISSION_DENIED")
	_, err = p.clusters.CreateCluster(p.ctx, clusterRequest("c", "c", poolRequest("b", 1)))
	refused(t, err, http.StatusBadRequest, "badRequest", "The user does not have access to service account")
	held, err := p.projects.TestIamPermissions("m3o-sandbox", &cloudresourcemanager.TestIamPermissionsRequest{
		Permissions: []string{"compute.networks.create", "compute.networks.delete", "iam.serviceAccounts.actAs"}}).Do()
	must(t, err)
	if !slices.Equal(held.Permissions, []string{"compute.networks.create"}) {
		t.Errorf("held are %v", held.Permissions)
	}
}

func TestRolesThatAreNoneAreNamed(t *testing.T) {
	for text, words := range map[string]string{"title: x": "no includedPermissions", "includedPermissions: [compute.*]": `permission "compute.*"`,
		"bindings: []": "not a custom role", "[": "not a custom role"} {
		ours, err := account()
		must(t, err)
		_, err = gcp.New(gcp.Config{Account: ours, Versions: []string{"1.34"}, Policy: []byte(text)})
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestClusterAsksWhoseATokenIs(t *testing.T) {
	p := newProject(t)
	c := p.running("c")
	eventually(t, "the cluster was told whom to ask", func() bool { return p.runner.Running()[c.Id].Authenticator == "http://127.0.0.1:1/"+c.Id })
	token, err := p.tokens.Token()
	must(t, err)
	user, groups, err := p.cloud.Authenticate(p.ctx, c.Id, token.AccessToken)
	must(t, err)
	if user != "m3o-worker@m3o-sandbox.iam.gserviceaccount.com" || !slices.Equal(groups, []string{"system:masters"}) {
		t.Errorf("it is %s of %v", user, groups)
	}
	for id, text := range map[string]string{c.Id: "ya29.x", "another": token.AccessToken} {
		if user, _, err := p.cloud.Authenticate(p.ctx, id, text); err == nil {
			t.Errorf("%s at %s is let in as %s", text, id, user)
		}
	}
	lesser := open(t, t.TempDir(), 0.001, gcp.Config{Policy: role("container.clusterRoles.bind")})
	c = lesser.running("c")
	token, err = lesser.tokens.Token()
	must(t, err)
	if _, groups, err := lesser.cloud.Authenticate(lesser.ctx, c.Id, token.AccessToken); err != nil || len(groups) > 0 {
		t.Errorf("who may not bind roles is of %v, %v", groups, err)
	}
}

func TestTokenOutlivesTheProcess(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir, 0.001, gcp.Config{})
	old, err := p.tokens.Token()
	must(t, err)
	p.stop()
	q := open(t, dir, 0.001, gcp.Config{})
	q.connect(oauth2.StaticTokenSource(old))
	_, err = q.projects.Get("m3o-sandbox").Do()
	must(t, err)
}

func TestServicesAreEnabled(t *testing.T) {
	p := newProject(t)
	states := func() map[string]string {
		t.Helper()
		found, err := p.services.BatchGet("projects/m3o-sandbox").Names("projects/m3o-sandbox/services/container.googleapis.com",
			"projects/m3o-sandbox/services/dns.googleapis.com").Do()
		must(t, err)
		all := map[string]string{}
		for _, s := range found.Services {
			all[s.Config.Name] = s.State
		}
		return all
	}
	if at := states(); at["container.googleapis.com"] != "ENABLED" || at["dns.googleapis.com"] != "DISABLED" {
		t.Errorf("at first: %v", at)
	}
	_, err := p.services.BatchEnable("projects/m3o-sandbox", &serviceusage.BatchEnableServicesRequest{ServiceIds: []string{"dns.googleapis.com"}}).Do()
	must(t, err)
	eventually(t, "it is enabled", func() bool { return states()["dns.googleapis.com"] == "ENABLED" })
}
