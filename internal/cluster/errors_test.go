package cluster_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

// access is the test cluster's kubeconfig with another user or server.
func access(t *testing.T, change func(*clientcmdapi.Cluster, *clientcmdapi.AuthInfo)) []byte {
	t.Helper()
	config, err := clientcmd.Load(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	current := config.Contexts[config.CurrentContext]
	user := &clientcmdapi.AuthInfo{}
	config.AuthInfos[current.AuthInfo] = user
	change(config.Clusters[current.Cluster], user)
	data, err := clientcmd.Write(*config)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func connected(t *testing.T, kubeconfig []byte) *cluster.Client {
	t.Helper()
	c, err := cluster.Connect(kubeconfig, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const hidden = "s3cr3t-t0ken-that-nobody-may-see"

func TestCallsThatCannotReachTheCluster(t *testing.T) {
	closed := httptest.NewTLSServer(nil)
	closed.Close()
	stuck := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer stuck.Close()
	theirs := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: stuck.Certificate().Raw})
	for name, c := range map[string]struct {
		change func(*clientcmdapi.Cluster)
		words  string
	}{
		"nobody there":    {func(s *clientcmdapi.Cluster) { s.Server = closed.URL }, "nothing answers"},
		"another's key":   {func(s *clientcmdapi.Cluster) { s.CertificateAuthorityData = theirs }, "certificate"},
		"never an answer": {func(s *clientcmdapi.Cluster) { s.Server, s.CertificateAuthorityData = stuck.URL, theirs }, "in time"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			broken := connected(t, access(t, func(s *clientcmdapi.Cluster, u *clientcmdapi.AuthInfo) { c.change(s); u.Token = hidden }))
			_, err := broken.ServiceState(ctx, release.Key{Project: "any", Name: "any"}, 1)
			if !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.Message(err), c.words) {
				t.Errorf("got %v", err)
			}
			if strings.Contains(fmt.Sprintf("%+v", err), hidden) {
				t.Errorf("the error shows the token: %v", err)
			}
		})
	}
}

func TestRefusalsOfTheAPIServer(t *testing.T) {
	stranger := connected(t, access(t, func(_ *clientcmdapi.Cluster, u *clientcmdapi.AuthInfo) { u.Token = hidden }))
	_, err := stranger.ServiceState(t.Context(), release.Key{Project: "any", Name: "any"}, 1)
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.Message(err), "credentials") || strings.Contains(err.Error(), hidden) {
		t.Errorf("a token nobody knows: %v", err)
	}
	token, err := admin.CoreV1().ServiceAccounts("kube-system").CreateToken(t.Context(), powerless(t), &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	weak := connected(t, access(t, func(_ *clientcmdapi.Cluster, u *clientcmdapi.AuthInfo) { u.Token = token.Status.Token }))
	if err := weak.ApplyFoundations(t.Context(), wholeRegion); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "namespace m3o-control") {
		t.Errorf("an account without rights: %v", err)
	}
	r := hello("refused", 1)
	r.Image = ""
	if err := client.ApplyService(t.Context(), r); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "image") {
		t.Errorf("a release without an image: %v", err)
	}
}

func powerless(t *testing.T) string {
	t.Helper()
	made, err := admin.CoreV1().ServiceAccounts("kube-system").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{GenerateName: "powerless-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return made.Name
}

// What an API server answers when it has trouble is what the caller waits for, or does not.
func TestTroublesOfTheAPIServer(t *testing.T) {
	for code, kind := range map[int]fault.Kind{
		http.StatusTooManyRequests: fault.Throttled, http.StatusInternalServerError: fault.Unavailable, http.StatusServiceUnavailable: fault.Unavailable,
		http.StatusGatewayTimeout: fault.Unavailable, http.StatusUnprocessableEntity: fault.Invalid, http.StatusConflict: fault.Unavailable,
	} {
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"so it is","reason":%q,"code":%d}`, reasonOf(code), code)
		}))
		authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		troubled := connected(t, access(t, func(s *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) {
			s.Server, s.CertificateAuthorityData = server.URL, authority
		}))
		if err := troubled.ApplyFoundations(t.Context(), wholeRegion); !fault.Is(err, kind) || !strings.Contains(err.Error(), "so it is") {
			t.Errorf("%d: got %s: %v", code, fault.Of(err), err)
		}
		server.Close()
	}
}

func reasonOf(code int) metav1.StatusReason {
	return map[int]metav1.StatusReason{
		http.StatusTooManyRequests: metav1.StatusReasonTooManyRequests, http.StatusInternalServerError: metav1.StatusReasonInternalError,
		http.StatusServiceUnavailable: metav1.StatusReasonServiceUnavailable, http.StatusGatewayTimeout: metav1.StatusReasonTimeout,
		http.StatusUnprocessableEntity: metav1.StatusReasonInvalid, http.StatusConflict: metav1.StatusReasonConflict,
	}[code]
}

// A kubeconfig that would run or read something here is refused, and one that is broken is never quoted.
func TestKubeconfigsThatAreRefused(t *testing.T) {
	outward := func(change func(*clientcmdapi.Cluster, *clientcmdapi.AuthInfo)) []byte { return access(t, change) }
	for name, c := range map[string]struct {
		kubeconfig []byte
		words      string
	}{
		"empty":       {nil, "needs a current context"},
		"not YAML":    {[]byte("token: [" + hidden), "cannot be parsed"},
		"wrong shape": {[]byte("users: " + hidden), "cannot be parsed"},
		"huge":        {make([]byte, 2<<20), "bytes"},
		"runs a program": {outward(func(_ *clientcmdapi.Cluster, u *clientcmdapi.AuthInfo) {
			u.Exec = &clientcmdapi.ExecConfig{Command: "/bin/sh", APIVersion: "client.authentication.k8s.io/v1", InteractiveMode: clientcmdapi.NeverExecInteractiveMode}
		}), "runs a program"},
		"reads a token": {outward(func(_ *clientcmdapi.Cluster, u *clientcmdapi.AuthInfo) { u.TokenFile = "/etc/passwd" }), "names files"},
		"reads a key":   {outward(func(_ *clientcmdapi.Cluster, u *clientcmdapi.AuthInfo) { u.ClientKey = "/etc/shadow" }), "names files"},
		"reads a authority": {outward(func(s *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) {
			s.CertificateAuthority, s.CertificateAuthorityData = "/etc/passwd", nil
		}), "names a file"},
		"asks a plugin": {outward(func(_ *clientcmdapi.Cluster, u *clientcmdapi.AuthInfo) {
			u.AuthProvider = &clientcmdapi.AuthProviderConfig{Name: "gcp"}
		}), "plugin"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := cluster.Connect(c.kubeconfig, nil)
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %v", err)
			}
			if strings.Contains(fmt.Sprint(err), hidden) {
				t.Errorf("the error quotes the file: %v", err)
			}
		})
	}
}
