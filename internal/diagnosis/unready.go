package diagnosis

import (
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// unready explains a container that runs and is not ready, by what its probe met.
func (p patient) unready(status *corev1.ContainerStatus) Finding {
	said := strings.TrimPrefix(p.witness.Warning(p.ctx, p.pod, "Unhealthy", "Readiness probe"), "Readiness probe failed: ")
	last := status.LastTerminationState.Terminated
	if last != nil && (said == "" || status.RestartCount >= EnoughEnds) {
		return p.ended(status, last, true)
	}
	return Finding{Words: p.probed(status.Name, said)}
}

// probed explains what a readiness probe met.
func (p patient) probed(container, said string) string {
	asked := p.probe(container)
	switch {
	case said == "":
		return "the program runs, and has not been seen ready yet"
	case strings.Contains(said, "connection refused"):
		return p.silent(container, asked)
	case redirectsToHTTPS(said):
		return asked.String() + " redirects to https, which the platform speaks for the program: answer the health check without redirecting"
	case strings.Contains(said, "statuscode"):
		_, code, _ := strings.Cut(said, "statuscode: ")
		return asked.answers(strings.TrimSpace(code)) + lastWords(p.witness.LastWords(p.ctx, p.pod, container, false))
	case holdsAny(said, "malformed HTTP", "server gave HTTP response to HTTPS", "HTTP/1.x transport connection broken"):
		return asked.String() + " does not answer in HTTP/1.1: serve it, leave the health path out, or say --protocol h2c if that is what it speaks"
	case holdsAny(said, "deadline exceeded", "i/o timeout", "Client.Timeout"):
		return asked.String() + " does not answer within 3 seconds: answer the health check without waiting for others" +
			lastWords(p.witness.LastWords(p.ctx, p.pod, container, false))
	}
	return "it is not ready: " + said
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
func (a probe) answers(status string) string {
	words := fmt.Sprintf("%s answers with status %s", a, status)
	switch {
	case status == "404" || status == "405":
		return words + ": say with --health a path that answers GET with 200"
	case status == "401" || status == "403":
		return words + ": the health check brings no credentials, so answer it without"
	case strings.HasPrefix(status, "5"):
		return words + ": it says that it is not well"
	}
	return words + ": answer the health check with 200"
}

// probe is the port and the path that the container's readiness is asked at.
func (p patient) probe(container string) probe {
	c := p.container(container)
	if c == nil || c.ReadinessProbe == nil {
		return probe{}
	}
	var at probe
	name := ""
	switch asks := c.ReadinessProbe; {
	case asks.HTTPGet != nil:
		at.path, name = asks.HTTPGet.Path, asks.HTTPGet.Port.StrVal
	case asks.TCPSocket != nil:
		name = asks.TCPSocket.Port.StrVal
	}
	for _, port := range c.Ports {
		if port.Name == name {
			at.port = port.ContainerPort
		}
	}
	return at
}

// silent explains a program that takes no connection on its port. Only the program itself can say where it listens instead: what
// addresses its last words name is the best that there is.
func (p patient) silent(container string, asked probe) string {
	words := "nothing answers on its port yet"
	if asked.port != 0 {
		words = fmt.Sprintf("nothing answers on port %d yet", asked.port)
	}
	said := p.witness.LastWords(p.ctx, p.pod, container, false)
	return words + ": " + elsewhere(said, asked.port) + lastWords(said)
}

var (
	loopback = regexp.MustCompile(`(?i)(?:\b127\.\d+\.\d+\.\d+|\blocalhost|\[::1\]):(\d{1,5})\b`)
	anywhere = regexp.MustCompile(`(?i)(?:listen|serv|start|running|bound)[^\n]{0,80}?(?::|\bport[ =:]+)(80|443|\d{4,5})\b`)
)

// elsewhere says what to do about a program that listens somewhere else, as far as its words tell where.
func elsewhere(said string, port int32) string {
	wanted := fmt.Sprint(port)
	if at := loopback.FindStringSubmatch(said); at != nil {
		words := fmt.Sprintf("it names %s, which only the instance itself reaches: listen on all addresses (0.0.0.0)", at[0])
		if at[1] != wanted {
			words += " and on $PORT"
		}
		return words
	}
	if all := anywhere.FindAllStringSubmatch(said, -1); len(all) > 0 {
		if last := all[len(all)-1][1]; last != wanted {
			return fmt.Sprintf("it names port %s: listen on $PORT, or deploy with --port %s", last, last)
		}
	}
	return "listen on $PORT on all addresses (0.0.0.0), or say with --port where it listens; if it needs longer, say so with --start"
}
