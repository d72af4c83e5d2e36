package image

import (
	"net"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/m3o/platform/internal/fault"
)

// CheckOwner refuses a reference into our own registry ("host:port" or "host/prefix") that does not lie in the project's part of
// it, <registry>/<project>/<service>. What is there belongs to projects, and whoever knows another's name or digest does not own
// its image. References to other registries are not ours to judge.
func CheckOwner(registry, project, reference string) error {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "%q is not an image reference", reference)
	}
	host, prefix, _ := strings.Cut(registry, "/")
	if registry == "" || !sameRegistry(ref.Context().RegistryStr(), host) {
		return nil
	}
	repository := ref.Context().RepositoryStr() // "shop/../other/svc" is another's for registries and proxies that clean paths
	mine := project + "/"
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		mine = prefix + "/" + mine
	}
	if project == "" || path.Clean(repository) != repository || !strings.HasPrefix(repository, mine) {
		return fault.New(fault.Denied, "the image %s is not project %s's: in the platform's registry a project runs images of %s/%s<service> alone", reference, project, host, mine)
	}
	return nil
}

// sameRegistry compares what is called: names in any case, with the port left out or not, and all names of the loopback.
func sameRegistry(a, b string) bool {
	aHost, aPort := hostPort(a)
	bHost, bPort := hostPort(b)
	if aHost != bHost && !(here(aHost) && here(bHost)) {
		return false
	}
	return aPort == bPort || defaultPort(aPort) && defaultPort(bPort)
}

// here reports whether a host is this machine, by whatever name.
func here(host string) bool {
	ip := net.ParseIP(host)
	return onLoopback(host) || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsUnspecified()
}

func hostPort(registry string) (host, port string) {
	host, port, err := net.SplitHostPort(registry)
	if err != nil {
		host, port = registry, ""
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if ip := net.ParseIP(host); ip != nil {
		host = ip.String() // 127.0.0.1 is ::ffff:127.0.0.1
	}
	return host, port
}

// defaultPort reports whether a registry is called so when no port is named: 443, and 80 in plain HTTP.
func defaultPort(port string) bool { return port == "" || port == "443" || port == "80" }
