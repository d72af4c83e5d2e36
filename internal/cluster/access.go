package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// AccessNamespace holds a service account for every person and role that asked for access. Nothing runs in it.
const AccessNamespace = "m3o-access"

const (
	labelAccess      = "m3o.dev/access-role" // of a service account and its binding: the role
	annotationCaller = "m3o.dev/caller"      // who it is for
	annotationAsked  = "m3o.dev/asked"       // when access was asked for last
)

// clusterRoles are Kubernetes' own roles, which every cloud's clusters have.
var clusterRoles = map[region.Role]string{region.RoleView: "view", region.RoleAdmin: "cluster-admin"}

// accessLimit lets nothing run.
var accessLimit = limit{pods: "0", services: "0", balancers: "0", volumes: "0", storage: "0", cpu: "0", memory: "0"}

// Kubeconfig makes credentials of the caller's own for the region's cluster, the same in every cloud: a token of a service
// account that is named after him, so that the audit log says who it was. Asking twice makes another token of the same
// account. Accounts whose last token has ended are removed.
func (c *Client) Kubeconfig(ctx context.Context, key region.Key, in region.Access) ([]byte, error) {
	if err := fault.Problems(in.Problems()); err != nil {
		return nil, err
	}
	if err := c.applyAll(ctx, callerObjects(key, in, time.Now())); err != nil {
		return nil, err
	}
	if err := c.pruneCallers(ctx, time.Now()); err != nil {
		return nil, err
	}
	seconds := int64(in.For / time.Second)
	name := callerName(in)
	answer, err := c.typed.CoreV1().ServiceAccounts(AccessNamespace).CreateToken(ctx, name,
		&authv1.TokenRequest{Spec: authv1.TokenRequestSpec{ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
	if err != nil {
		return nil, explain(err, "make a token for %s", name)
	}
	return c.kubeconfig(key, name, answer.Status.Token)
}

// callerName names a caller's service account: no two callers or roles have the same, whatever characters they are named with.
func callerName(in region.Access) string {
	const readable = 30
	sum := sha256.Sum256([]byte(in.By))
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(in.By))
	return string(in.Role) + "-" + strings.Trim(plain[:min(len(plain), readable)], "-") + "-" + hex.EncodeToString(sum[:10])
}

func callerObjects(key region.Key, in region.Access, now time.Time) []object {
	name := callerName(in)
	labels := with(whereLabels(key), map[string]string{labelAccess: string(in.Role)})
	account := &corev1.ServiceAccount{ObjectMeta: meta(AccessNamespace, name, labels), AutomountServiceAccountToken: new(false)}
	account.Annotations = map[string]string{annotationCaller: in.By, annotationAsked: now.UTC().Format(time.RFC3339)}
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: meta("", "m3o:"+name, labels),
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRoles[in.Role]},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: AccessNamespace, Name: name}}}
	binding.Annotations = account.Annotations
	return append(namespace(AccessNamespace, "access", whereLabels(key), accessLimit), account, binding)
}

// pruneCallers removes the accounts of callers whose tokens have all ended, and what they were bound to. One that is asked
// for again at this moment stays: only what was seen is removed.
func (c *Client) pruneCallers(ctx context.Context, now time.Time) error {
	selector := metav1.ListOptions{LabelSelector: labelManager + "=" + manager + "," + labelAccess}
	accounts, err := c.typed.CoreV1().ServiceAccounts(AccessNamespace).List(ctx, selector)
	if err != nil {
		return explain(err, "list who has access")
	}
	bindings, err := c.typed.RbacV1().ClusterRoleBindings().List(ctx, selector)
	if err != nil {
		return explain(err, "list what callers are bound to")
	}
	for _, b := range bindings.Items {
		if ended(b.Annotations, now) {
			err := c.typed.RbacV1().ClusterRoleBindings().Delete(ctx, b.Name, exactly(b.ObjectMeta))
			if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
				return explain(err, "remove the binding %s", b.Name)
			}
		}
	}
	for _, a := range accounts.Items {
		if ended(a.Annotations, now) {
			err := c.typed.CoreV1().ServiceAccounts(AccessNamespace).Delete(ctx, a.Name, exactly(a.ObjectMeta))
			if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
				return explain(err, "remove the service account %s", a.Name)
			}
		}
	}
	return nil
}

// ended reports whether the longest token that could have been made has ended. The clocks of workers may be a little apart.
func ended(annotations map[string]string, now time.Time) bool {
	asked, err := time.Parse(time.RFC3339, annotations[annotationAsked])
	return err != nil || now.After(asked.Add(region.MaxAccess+time.Hour))
}

func exactly(m metav1.ObjectMeta) metav1.DeleteOptions {
	return metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &m.UID, ResourceVersion: &m.ResourceVersion}}
}

// kubeconfig is the file with the token. How the cluster is reached is taken over from ours, who we are is not.
func (c *Client) kubeconfig(key region.Key, user, token string) ([]byte, error) {
	name := key.String()
	file := clientcmdapi.NewConfig()
	file.Clusters[name] = c.server
	file.AuthInfos[user] = &clientcmdapi.AuthInfo{Token: token}
	file.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: user}
	file.CurrentContext = name
	written, err := clientcmd.Write(*file)
	if err != nil {
		return nil, fault.New(fault.Failed, "the kubeconfig for %s cannot be written", name)
	}
	return written, nil
}
