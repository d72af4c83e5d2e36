package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxReview bounds a TokenReview: an EKS token is a presigned URL, an Entra token has many claims.
const maxReview = 64 << 10

// reviewToken answers the API server of a provider's cluster, which asks whose a token is. A token that is nobody's is an answer, too.
func (s *server) reviewToken(w http.ResponseWriter, r *http.Request) {
	var review authenticationv1.TokenReview
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxReview)).Decode(&review); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("the body is not a TokenReview of at most %d bytes: %v", maxReview, err))
		return
	}
	kind := metav1.TypeMeta{Kind: "TokenReview", APIVersion: authenticationv1.SchemeGroupVersion.String()}
	if review.TypeMeta != kind {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("%q %q is not %q %q", review.APIVersion, review.Kind, kind.APIVersion, kind.Kind))
		return
	}
	judge, err := s.authenticator(r.PathValue("provider"))
	if err != nil {
		refuse(w, http.StatusNotFound, err.Error())
		return
	}
	reviewed := authenticationv1.TokenReview{TypeMeta: kind}
	user, groups, err := judge.Authenticate(r.Context(), r.PathValue("cluster"), review.Spec.Token)
	if err != nil {
		reviewed.Status.Error = err.Error()
	} else {
		reviewed.Status.Authenticated = true
		reviewed.Status.User = authenticationv1.UserInfo{Username: user, Groups: groups}
	}
	answer(w, http.StatusOK, reviewed)
}

// authenticator is the provider of that name, if its clusters ask it whose tokens are.
func (s *server) authenticator(provider string) (Authenticator, error) {
	for _, p := range s.providers {
		if p.Name() != provider {
			continue
		}
		if judge, can := p.(Authenticator); can {
			return judge, nil
		}
		return nil, fmt.Errorf("the clusters of provider %q know their tokens themselves", provider)
	}
	return nil, fmt.Errorf("the sandbox has no provider %q", provider)
}
