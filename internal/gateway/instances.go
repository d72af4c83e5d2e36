package gateway

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/m3o/platform/internal/gateway/health"
	"github.com/m3o/platform/internal/gateway/mirror"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/ticket"
)

// newReporter reports on the pods that the gateway follows.
func (g *Gateway) newReporter() *health.Reporter {
	return &health.Reporter{Pods: g.mirror.Managed, Suspended: g.mirror.AllSuspended, LastWords: g.logs.LastWords, Meets: g.meets, Now: time.Now}
}

// reportInstances tells the control plane how the instances of all services are, a page at a time: ?after=<project>/<service> is what the
// page before ended with.
func (g *Gateway) reportInstances(w http.ResponseWriter, r *http.Request) {
	p := g.permitted(r, func(t ticket.Ticket) bool { return t.Has(ticket.ReadInstances) && t.Project == "" })
	var after release.Key
	if text := r.URL.Query().Get("after"); p == nil && text != "" {
		after.Project, after.Name, _ = strings.Cut(text, "/")
		if !region.IsLabel(after.Project) || !region.IsLabel(after.Name) {
			p = refusal(http.StatusBadRequest, "after: %.80q is not of the form project/service", text)
		}
	}
	if p == nil && !g.mirror.Synced() {
		p = refusal(http.StatusServiceUnavailable, "the gateway has not read its cluster yet")
	}
	if p != nil {
		g.say(w, r, p)
		return
	}
	writeJSON(w, http.StatusOK, g.reporter.Page(r.Context(), after))
}

// meetTimeout is shorter than the kubelet's own: a report has less time.
const meetTimeout = 1500 * time.Millisecond

// meets tries what the kubelet's probe of a pod does, and returns what it met in the kubelet's words. False: the report's time was over
// before that was known.
func (g *Gateway) meets(report context.Context, pod *corev1.Pod) (string, bool) {
	ctx, cancel := context.WithTimeout(report, meetTimeout)
	defer cancel()
	number, path := asked(pod)
	if number == 0 || pod.Status.PodIP == "" {
		return "", true
	}
	err := g.table.Probe(ctx, net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(number)), path)
	switch {
	case err == nil:
		return "", true
	case report.Err() != nil:
		return "", false
	case ctx.Err() != nil:
		return "context deadline exceeded", true
	}
	if _, status, answered := strings.Cut(err.Error(), path+" answered "); answered {
		code, _, _ := strings.Cut(status, " ")
		return "HTTP probe failed with statuscode: " + code, true
	}
	return err.Error(), true
}

// asked is the port and the path that the readiness of a service's program is asked at. The path is empty where a connection is enough.
func asked(pod *corev1.Pod) (number int, path string) {
	c := pod.Spec.Containers[0]
	if c.ReadinessProbe != nil && c.ReadinessProbe.HTTPGet != nil {
		path = c.ReadinessProbe.HTTPGet.Path
	}
	for _, p := range c.Ports {
		if p.Name == mirror.PortName {
			return int(p.ContainerPort), path
		}
	}
	return 0, path
}
