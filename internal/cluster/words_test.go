package cluster

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestBaseURL(t *testing.T) {
	for want, given := range map[string][]corev1.LoadBalancerIngress{
		"":                           {{}},
		"http://203.0.113.7:8080/":   {{IP: "203.0.113.7"}},
		"http://[2001:db8::7]:8080/": {{}, {IP: "2001:db8::7"}},
		"http://lb.example:8080/":    {{Hostname: "lb.example"}},
	} {
		if got := baseURL(given); got != want {
			t.Errorf("%v: got %q, want %q", given, got, want)
		}
	}
}

// A cluster that makes no load balancers says so in words that somebody can act on.
func TestAddressWords(t *testing.T) {
	made := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		finalizers []string
		after      time.Duration
		want       string
	}{
		"just made":             {nil, time.Second, "not given its load balancer one yet"},
		"nobody takes it up":    {nil, time.Minute, "MetalLB"},
		"a controller makes it": {[]string{"service.kubernetes.io/load-balancer-cleanup"}, time.Hour, "not given its load balancer one yet"},
	} {
		s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(made), Finalizers: c.finalizers}}
		if got := addressWords(s, made.Add(c.after)); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}
