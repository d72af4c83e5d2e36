package rest

import (
	"context"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// secretPaths are the beginnings of paths that go on with a secret.
var secretPaths = []string{hooksPath + "/alerts/", hooksPath + "/heartbeats/", "/v1/links/"}

const hooksPath = "/v1/hooks"

// address is how a request was sent, before its secret was taken out.
type address struct {
	url *url.URL
	uri string
}

type addressKey struct{}

// withoutSecrets takes the secret out of the path of a request, for whatever makes traces and logs of requests; withSecrets, further in,
// puts it back.
func withoutSecrets(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		clean := path.Clean(r.URL.Path) // as the router reads it
		for _, begins := range secretPaths {
			if strings.HasPrefix(clean, begins) {
				shown := r.WithContext(context.WithValue(r.Context(), addressKey{}, address{r.URL, r.RequestURI}))
				shown.URL, shown.RequestURI = &url.URL{Path: begins + "-"}, begins+"-"
				r = shown
				break
			}
		}
		next.ServeHTTP(w, r)
	})
}

func withSecrets(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if sent, has := r.Context().Value(addressKey{}).(address); has {
			r = r.WithContext(context.WithValue(r.Context(), addressKey{}, nil))
			r.URL, r.RequestURI = sent.url, sent.uri
		}
		next.ServeHTTP(w, r)
	})
}
