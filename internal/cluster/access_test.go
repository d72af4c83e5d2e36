package cluster_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// person is somebody with a kubeconfig of his own.
type person struct {
	kubernetes.Interface
	file  string
	token string
	user  string
}

func asks(t *testing.T, in region.Access) person {
	t.Helper()
	file, err := client.Kubeconfig(t.Context(), wholeRegion.Key(), in)
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	p := person{Interface: kubernetes.NewForConfigOrDie(config), file: string(file), token: config.BearerToken}
	if config.CertData != nil || config.KeyData != nil || config.Username != "" {
		t.Error("the kubeconfig carries other credentials than the token")
	}
	p.user = p.name(t)
	return p
}

// name is who the API server takes him for, as its audit log has it.
func (p person) name(t *testing.T) string {
	t.Helper()
	review, err := p.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return review.Status.UserInfo.Username
}

// expires is when the token ends, by its own word, which the API server signed.
func (p person) expires(t *testing.T) time.Time {
	t.Helper()
	body, err := base64.RawURLEncoding.DecodeString(strings.Split(p.token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ Exp int64 }
	if err := json.Unmarshal(body, &claims); err != nil {
		t.Fatal(err)
	}
	return time.Unix(claims.Exp, 0)
}

func write(t *testing.T, p person, name string) error {
	t.Helper()
	_, err := p.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	return err
}

func TestAKubeconfigIsThePersonsOwn(t *testing.T) {
	ada := asks(t, region.Access{By: "ada@example.com", Role: region.RoleAdmin, For: region.MinAccess})
	if !strings.HasPrefix(ada.user, "system:serviceaccount:m3o-access:admin-ada-example-com-") {
		t.Errorf("the cluster's audit names %s", ada.user)
	}
	eventually(t, "ada writes", func() (bool, string) { // the API server takes a moment to know of her rights
		err := write(t, ada, "adas")
		return err == nil || apierrors.IsAlreadyExists(err), errorText(err)
	})
	if left := time.Until(ada.expires(t)); left > region.MinAccess+time.Second || left < region.MinAccess-time.Minute {
		t.Errorf("asked for ten minutes, it holds for %s", left)
	}
	if day := asks(t, region.Access{By: "ada@example.com", Role: region.RoleAdmin, For: region.MaxAccess}); day.user != ada.user || time.Until(day.expires(t)) < 23*time.Hour {
		t.Errorf("for a day: %s until %s", day.user, day.expires(t))
	}
	if ada.name(t) != ada.user {
		t.Error("a second kubeconfig took the first away")
	}
}

func TestWhoViewsCannotWrite(t *testing.T) {
	bob := asks(t, region.Access{By: "bob", Role: region.RoleView, For: time.Hour})
	eventually(t, "bob looks at pods", func() (bool, string) {
		_, err := bob.CoreV1().Pods("kube-system").List(t.Context(), metav1.ListOptions{})
		return err == nil, errorText(err)
	})
	if err := write(t, bob, "bobs"); !apierrors.IsForbidden(err) {
		t.Errorf("he writes: %v", err)
	}
	if _, err := bob.CoreV1().Secrets("kube-system").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("he reads secrets: %v", err)
	}
	request := &authv1.TokenRequest{}
	admin := strings.TrimPrefix(asks(t, region.Access{By: "bob", Role: region.RoleAdmin, For: time.Hour}).user, "system:serviceaccount:m3o-access:")
	if _, err := bob.CoreV1().ServiceAccounts(cluster.AccessNamespace).CreateToken(t.Context(), admin, request, metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("he makes himself an administrator's token: %v", err)
	}
	if err := write(t, bob, "bobs"); !apierrors.IsForbidden(err) {
		t.Errorf("having been an administrator, he writes as who views: %v", err)
	}
}

// Whatever people are called, no two of them share an account.
func TestNoTwoCallersShareAnAccount(t *testing.T) {
	seen := map[string]string{}
	for _, by := range []string{"ada", "Ada", "ada ", "a.d.a", "a-d-a", "a/d/a", "ä", "ö", "-", "--", strings.Repeat("long", 60), strings.Repeat("long", 60) + "er", "user:ada", "\n", "🙂"} {
		for _, role := range []region.Role{region.RoleView, region.RoleAdmin} {
			user := asks(t, region.Access{By: by, Role: role, For: time.Hour}).user
			if other, taken := seen[user]; taken {
				t.Errorf("%q and %s %q are both %s", other, role, by, user)
			}
			seen[user] = string(role) + " " + by
		}
	}
}

func TestAccessThatEndedIsRemoved(t *testing.T) {
	eve := asks(t, region.Access{By: "eve", Role: region.RoleAdmin, For: time.Hour})
	account := strings.TrimPrefix(eve.user, "system:serviceaccount:m3o-access:")
	long := time.Now().Add(-region.MaxAccess - 2*time.Hour).UTC().Format(time.RFC3339)
	aged, err := admin.CoreV1().ServiceAccounts(cluster.AccessNamespace).Get(t.Context(), account, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	aged.Annotations["m3o.dev/asked"] = long
	if _, err := admin.CoreV1().ServiceAccounts(cluster.AccessNamespace).Update(t.Context(), aged, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding, err := admin.RbacV1().ClusterRoleBindings().Get(t.Context(), "m3o:"+account, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	binding.Annotations["m3o.dev/asked"] = long
	if _, err := admin.RbacV1().ClusterRoleBindings().Update(t.Context(), binding, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	fay := asks(t, region.Access{By: "fay", Role: region.RoleView, For: time.Hour})
	if _, err := admin.RbacV1().ClusterRoleBindings().Get(t.Context(), "m3o:"+account, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("her rights are there still: %v", err)
	}
	eventually(t, "eve's token is refused", func() (bool, string) {
		_, err := eve.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authv1.SelfSubjectReview{}, metav1.CreateOptions{})
		return apierrors.IsUnauthorized(err), errorText(err)
	})
	if fay.name(t) != fay.user {
		t.Error("who has access lost it")
	}
	if again := asks(t, region.Access{By: "eve", Role: region.RoleAdmin, For: time.Hour}); again.user != eve.user {
		t.Errorf("she comes back as %s", again.user)
	}
}

// What our own worker is let in with stays with it.
func TestTheClustersOwnCredentialsDoNotLeave(t *testing.T) {
	loaded, err := clientcmd.Load(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	file := asks(t, region.Access{By: "ada", Role: region.RoleAdmin, For: time.Hour}).file
	for name, user := range loaded.AuthInfos {
		for _, secret := range []string{user.Token, base64.StdEncoding.EncodeToString(user.ClientKeyData), base64.StdEncoding.EncodeToString(user.ClientCertificateData)} {
			if secret != "" && strings.Contains(file, secret) {
				t.Errorf("the kubeconfig holds credentials of %s", name)
			}
		}
	}
	if !strings.Contains(file, "current-context: micro/lon1") {
		t.Error("its context does not say which region it is for")
	}
}

func TestAccessIsBounded(t *testing.T) {
	for want, in := range map[string]region.Access{
		"for: 9m59s is not between 10m and 24h": {By: "ada", Role: region.RoleView, For: 10*time.Minute - time.Second},
		"for: 24h0m1s is not between":           {By: "ada", Role: region.RoleView, For: 24*time.Hour + time.Second},
		`role: "root" is neither`:               {By: "ada", Role: "root", For: time.Hour},
		`by: "" is not the name`:                {Role: region.RoleView, For: time.Hour},
	} {
		if _, err := client.Kubeconfig(t.Context(), wholeRegion.Key(), in); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
