package cluster_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/m3o/platform/internal/region"
)

func TestAClusterSaysItsVersion(t *testing.T) {
	version, err := client.Version(t.Context())
	if err != nil || region.Minor(version) != "1.37" || strings.HasPrefix(version, "v") {
		t.Errorf("it is %q, %v", version, err)
	}
}

// The clusters of m3o-kube enforce nothing. They are taken where that is allowed, and called so.
func TestAClusterWithoutEnforcementIsFound(t *testing.T) {
	for _, provider := range []region.Provider{region.DigitalOcean, region.AWS, region.GCP, region.Azure} {
		spec := wholeRegion
		spec.Provider = provider
		found, lacks, err := client.Verify(t.Context(), spec)
		if err != nil || len(lacks) != 1 || !strings.Contains(lacks[0], "nothing in the cluster enforces NetworkPolicy") || found.NetworkPolicy != region.Unenforced {
			t.Errorf("%s: found %+v, lacks %q, %v", provider, found, lacks, err)
		}
		spec.Unenforced = region.Allow
		found, lacks, err = client.Verify(t.Context(), spec)
		if want := (region.Verified{StorageClass: "standard", NetworkPolicy: region.Unenforced}); err != nil || len(lacks) > 0 || found != want {
			t.Errorf("%s: where it is allowed: found %+v, lacks %q, %v", provider, found, lacks, err)
		}
	}
}

func TestAClusterWithoutDefaultStorageIsFound(t *testing.T) {
	mark := func(value string) {
		t.Helper()
		patch := fmt.Sprintf(`{"metadata":{"annotations":{"storageclass.kubernetes.io/is-default-class":%q}}}`, value)
		if _, err := admin.StorageV1().StorageClasses().Patch(t.Context(), "standard", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	mark("false")
	defer mark("true")
	spec := wholeRegion
	spec.Unenforced = region.Allow
	found, lacks, err := client.Verify(t.Context(), spec)
	if err != nil || len(lacks) != 1 || !strings.Contains(lacks[0], "has no default StorageClass") || !strings.Contains(lacks[0], "do-block-storage") || found.StorageClass != "" {
		t.Errorf("found %+v, lacks %q, %v", found, lacks, err)
	}
}

// enforces runs what stands in for each cloud's engine on the node, as a DaemonSet of its name, and sees whether it is recognised.
func (n *oneNode) enforces(t *testing.T) {
	for _, c := range []struct {
		provider        region.Provider
		namespace, name string
		args            []string
		config          string // enable-policy of cilium-config, "" without one
		image           string // "": one that runs
		lacks           string // "" when it enforces
	}{
		{region.DigitalOcean, "kube-system", "cilium", nil, "", "", ""},
		{region.DigitalOcean, "kube-system", "cilium", nil, "default", "", ""},
		{region.DigitalOcean, "kube-system", "cilium", nil, "never", "", "daemonset kube-system/cilium runs with enable-policy: never"},
		{region.DigitalOcean, "kube-system", "cilium", nil, "", n.empty, "daemonset kube-system/cilium is ready on 0 of 1 nodes"},
		{region.DigitalOcean, "kube-system", "flannel", nil, "", "", "daemonset kube-system/cilium is not there"},
		{region.DigitalOcean, "default", "cilium", nil, "", "", "daemonset kube-system/cilium is not there"},
		{region.AWS, "kube-system", "aws-node", nil, "", "", "daemonset kube-system/aws-node runs without --enable-network-policy=true"},
		{region.AWS, "kube-system", "aws-node", []string{"--enable-network-policy=false"}, "", "", "daemonset kube-system/aws-node runs without"},
		{region.AWS, "kube-system", "aws-node", []string{"--enable-network-policy=true"}, "", "", ""},
		{region.GCP, "kube-system", "anetd", nil, "", "", ""},
		{region.GCP, "kube-system", "calico-node", nil, "", "", ""},
		{region.Azure, "kube-system", "azure-npm", nil, "", "", ""},
	} {
		t.Run(string(c.provider)+"/"+c.name+c.config+strings.Join(c.args, ""), func(t *testing.T) {
			n.runsEverywhere(t, c.namespace, c.name, c.args, c.image)
			n.configures(t, c.config)
			spec := n.spec
			spec.Provider = c.provider
			eventually(t, "it is recognised", func() (bool, string) {
				found, lacks, err := n.client.Verify(t.Context(), spec)
				said := fmt.Sprintf("found %+v, lacks %q, %v", found, lacks, err)
				if c.lacks == "" {
					return err == nil && len(lacks) == 0 && found.NetworkPolicy == region.Enforced && found.Engine == "daemonset "+c.namespace+"/"+c.name, said
				}
				return err == nil && len(lacks) == 1 && strings.Contains(lacks[0], c.lacks) && found.NetworkPolicy == region.Unenforced, said
			})
		})
	}
}

func (n *oneNode) runsEverywhere(t *testing.T, namespace, name string, args []string, image string) {
	t.Helper()
	if image == "" {
		image = n.app
	}
	labels := map[string]string{"k8s-app": name}
	set := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: appsv1.DaemonSetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: new(int64(0)),
			Containers:                    []corev1.Container{{Name: "agent", Image: image, Args: args, Env: []corev1.EnvVar{{Name: "PORT", Value: "9090"}}}}}}}}
	sets := n.admin.AppsV1().DaemonSets(namespace)
	if _, err := sets.Create(t.Context(), set, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sets.Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	eventually(t, name+" runs", func() (bool, string) {
		now, err := sets.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		return now.Status.DesiredNumberScheduled == 1 && (image != n.app || now.Status.NumberReady == 1), fmt.Sprintf("%+v", now.Status)
	})
}

func (n *oneNode) configures(t *testing.T, enablePolicy string) {
	t.Helper()
	if enablePolicy == "" {
		return
	}
	maps := n.admin.CoreV1().ConfigMaps("kube-system")
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cilium-config"}, Data: map[string]string{"enable-policy": enablePolicy}}
	if _, err := maps.Create(t.Context(), config, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := maps.Delete(context.Background(), "cilium-config", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
}
