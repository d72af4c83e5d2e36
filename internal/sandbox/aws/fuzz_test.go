package aws

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
	"github.com/m3o/platform/internal/sandbox/world"
)

func fuzzed(f *testing.F) *Cloud {
	f.Helper()
	w, err := world.Open(f.TempDir(), world.Clock{Scale: 0.001})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = w.Close() })
	c, err := New(Config{World: w, Runner: clusterstest.New(1), Versions: []string{"1.34"}, Account: "123456789012", AccessKey: "AKIA", Secret: "s"})
	if err != nil {
		f.Fatal(err)
	}
	return c
}

func FuzzAuthorization(f *testing.F) {
	c := fuzzed(f)
	f.Add("AWS4-HMAC-SHA256 Credential=AKIA/20261130/eu-west-1/ec2/aws4_request, SignedHeaders=host;x-amz-date, Signature=00", "20261130T120000Z", "Action=CreateVpc")
	f.Add("Bearer x", "", "")
	f.Add("AWS4-HMAC-SHA256 Credential=////aws4_request,SignedHeaders=host,Signature", "T", "a=%")
	f.Fuzz(func(t *testing.T, header, stamp, body string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Authorization", header)
		r.Header.Set("X-Amz-Date", stamp)
		answer := httptest.NewRecorder()
		c.ServeHTTP(answer, r)
		if answer.Code < 400 || answer.Code >= 500 {
			t.Errorf("without a secret the answer is %d: %s", answer.Code, answer.Body)
		}
	})
}

func FuzzToken(f *testing.F) {
	c := fuzzed(f)
	f.Add("https://sts.amazonaws.com/?Action=GetCallerIdentity&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA/20261130/eu-west-1/sts/aws4_request&X-Amz-Date=20261130T120000Z&X-Amz-SignedHeaders=host;x-k8s-aws-id&X-Amz-Signature=00")
	f.Add("https://sts.amazonaws.com:0x/")
	f.Fuzz(func(t *testing.T, text string) {
		if c.checkToken(tokenPrefix+base64.RawURLEncoding.EncodeToString([]byte(text)), "c") == nil {
			t.Errorf("%q lets somebody in", text)
		}
		_ = c.checkToken(text, "c")
	})
}

func FuzzPolicy(f *testing.F) {
	f.Add(`{"Statement":[{"Effect":"Allow","Action":["ec2:*"],"Resource":"*","Condition":{"StringLike":{"aws:RequestTag/a":["*"]}}}]}`, "ec2:CreateVpc", "*")
	f.Add(`{"Statement":{"Effect":"Deny","NotAction":"iam:*","NotResource":["a[","*?"]}}`, "iam:X", "arn:[")
	f.Fuzz(func(t *testing.T, document, action, resource string) {
		p, err := parsePolicy([]byte(document))
		if err != nil {
			return
		}
		decision, _ := p.decide(need{action, resource, map[string][]string{"aws:RequestTag/a": {resource}}})
		if decision != allowed && decision != implicitDeny && decision != explicitDeny {
			t.Errorf("the decision is %q", decision)
		}
	})
}

func FuzzPageToken(f *testing.F) {
	f.Add(pageToken(7), 10)
	f.Add("cGFnZTotNQ==", 3)
	f.Fuzz(func(t *testing.T, token string, length int) {
		length &= 0xffff
		if from, err := readToken(token, length); err == nil && (from < 0 || from > length) {
			t.Errorf("a page begins at %d of %d", from, length)
		}
	})
}
