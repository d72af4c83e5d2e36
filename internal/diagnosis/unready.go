package diagnosis

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// settling is how long a program that was started again is known by how it ended before: what is said of its probe may be older.
const settling = 10 * time.Second

func fresh(status *corev1.ContainerStatus) bool {
	running := status.State.Running
	return running != nil && time.Since(running.StartedAt.Time) < settling
}

// unready explains a container that runs and is not ready, by what its probe met.
func (p patient) unready(status *corev1.ContainerStatus) Finding {
	said := p.witness.Warning(p.ctx, p.pod, "Unhealthy", "Readiness probe")
	if _, met, prefixed := strings.Cut(said, "Readiness probe failed: "); prefixed {
		said = met
	}
	if last := status.LastTerminationState.Terminated; last != nil && (said == "" || status.RestartCount >= EnoughEnds || fresh(status)) {
		return p.ended(status, last, true)
	}
	words := p.witness.LastWords(p.ctx, p.pod, status.Name, false)
	found := unready(p.pod, status.Name, said, words)
	found.Said = words
	return found
}

// Unready says why a program that runs is not ready, by what its readiness probe met in the kubelet's words ("": nothing yet), and what
// helps, as far as its last words tell. They themselves are not in it.
func Unready(pod *corev1.Pod, container, met, said string) string {
	return unready(pod, container, met, said).Words()
}

func unready(pod *corev1.Pod, container, met, said string) Finding {
	asked := probeOf(pod, container)
	switch {
	case met == "":
		return Finding{Cause: "the program runs, and has not been seen ready yet"}
	case strings.Contains(met, "connection refused"):
		return asked.silent(said)
	case redirectsToHTTPS(met):
		return Finding{Cause: asked.String() + " redirects to https, which the platform speaks for the program", Help: "answer the health check without redirecting"}
	case strings.Contains(met, "statuscode"):
		_, code, _ := strings.Cut(met, "statuscode: ")
		return asked.answers(strings.TrimSpace(code))
	case holdsAny(met, "malformed HTTP", "HTTP/1.x transport connection broken", "connection reset by peer", ": EOF"):
		return Finding{Cause: asked.String() + " does not answer in HTTP/1.1", Help: "serve it, leave the health path out, or say --protocol h2c if that is what it speaks"}
	case holdsAny(met, "deadline exceeded", "i/o timeout", "Client.Timeout"):
		return Finding{Cause: asked.String() + " does not answer within 3 seconds", Help: "answer the health check without waiting for others"}
	}
	return Finding{Cause: "it is not ready: " + met}
}

// redirectsToHTTPS recognises the kubelet's own words: it asks in plain HTTP, follows a redirect to the same host, and meets a program
// that does not speak TLS there.
func redirectsToHTTPS(said string) bool {
	return strings.Contains(said, `"https://`) && holdsAny(said, "server gave HTTP response", "tls:", "EOF", "connection reset")
}

// probe is where a program is asked whether it is ready.
type probe struct {
	port int32  // 0: not known
	path string // "" when a connection is enough
}

func (a probe) String() string {
	switch {
	case a.path == "":
		return fmt.Sprintf("port %d", a.port)
	case a.port == 0:
		return a.path
	}
	return fmt.Sprintf("%s on port %d", a.path, a.port)
}

// answers explains a status that is no success.
func (a probe) answers(status string) Finding {
	found := Finding{Cause: fmt.Sprintf("%s answers with status %s", a, status), Help: "answer the health check with 200"}
	switch {
	case status == "404" || status == "405":
		found.Help = "say with --health a path that answers GET with 200"
	case status == "401" || status == "403":
		found.Help = "the health check brings no credentials, so answer it without"
	case strings.HasPrefix(status, "5"):
		found.Help = "it says that it is not well"
	}
	return found
}

// Probe is the port and the path that the container's readiness is asked at. The path is empty where a connection is enough, the port 0
// when the pod does not say.
func Probe(pod *corev1.Pod, container string) (port int32, path string) {
	c := containerOf(pod, container)
	if c == nil || c.ReadinessProbe == nil {
		return 0, ""
	}
	name := ""
	switch asks := c.ReadinessProbe; {
	case asks.HTTPGet != nil:
		path, name = asks.HTTPGet.Path, asks.HTTPGet.Port.StrVal
	case asks.TCPSocket != nil:
		name = asks.TCPSocket.Port.StrVal
	}
	for _, p := range c.Ports {
		if p.Name == name {
			port = p.ContainerPort
		}
	}
	return port, path
}

func probeOf(pod *corev1.Pod, container string) probe {
	port, path := Probe(pod, container)
	return probe{port, path}
}

// silent explains a program that takes no connection on its port. Only the program itself can say where it listens instead: what
// addresses its last words name is the best that there is.
func (a probe) silent(said string) Finding {
	found := Finding{Cause: "nothing answers on its port", Help: elsewhere(said, a.port)}
	if a.port != 0 {
		found.Cause = fmt.Sprintf("nothing answers on port %d", a.port)
	}
	return found
}

var (
	loopback = regexp.MustCompile(`(?i)(?:\b127\.\d+\.\d+\.\d+|\blocalhost|\[::1\]):(\d{1,5})\b`)
	anywhere = regexp.MustCompile(`(?i)(?:listen|serv|start|running|bound)[^\n]{0,80}?(?::|\bport[ =:]+)(80|443|\d{4,5})\b`)
)

// elsewhere says what to do about a program that listens somewhere else, as far as its words tell where.
func elsewhere(said string, port int32) string {
	wanted := fmt.Sprint(port)
	if at := loopback.FindStringSubmatch(said); at != nil {
		words := fmt.Sprintf("its log names %s, which only the instance itself reaches: listen on all addresses (0.0.0.0)", at[0])
		if at[1] != wanted {
			words += " and on $PORT"
		}
		return words
	}
	if all := anywhere.FindAllStringSubmatch(said, -1); len(all) > 0 {
		if last := all[len(all)-1][1]; last != wanted {
			return fmt.Sprintf("its log names port %s: listen on $PORT, or deploy with --port %s", last, last)
		}
		return "it may listen on IPv6 alone, or on one address: listen on all addresses (0.0.0.0)"
	}
	return "listen on $PORT on all addresses (0.0.0.0), or say with --port where it listens; if it needs longer, say so with --start"
}
