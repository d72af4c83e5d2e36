package aws_test

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/m3o/platform/internal/sandbox/aws"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
	"github.com/m3o/platform/internal/sandbox/world"
)

// tokenFor makes a token for a cluster as `aws eks get-token` does, signed with those keys for the endpoint: "" is that of STS.
func (a *account) tokenFor(cluster string, k aws.Keys, endpoint string) string {
	a.t.Helper()
	config := sdk.Config{Region: region, Credentials: credentials.NewStaticCredentialsProvider(k.AccessKey, k.Secret, "")}
	if endpoint != "" {
		config.BaseEndpoint = &endpoint
	}
	signed, err := sts.NewPresignClient(sts.NewFromConfig(config)).PresignGetCallerIdentity(a.t.Context(), &sts.GetCallerIdentityInput{}, func(o *sts.PresignOptions) {
		o.ClientOptions = append(o.ClientOptions, func(o *sts.Options) {
			o.APIOptions = append(o.APIOptions, smithyhttp.AddHeaderValue("x-k8s-aws-id", cluster), smithyhttp.SetHeaderValue("X-Amz-Expires", "60"))
		})
	})
	a.must(err)
	return "k8s-aws-v1." + base64.RawURLEncoding.EncodeToString([]byte(signed.URL))
}

func TestTokensAreCheckedAsTheCloudDoes(t *testing.T) {
	a := open(t)
	a.anActiveCluster("let")
	var real string
	for id := range a.runner.Running() {
		real = id
	}
	ctx := t.Context()
	for _, endpoint := range []string{"", a.url} {
		user, groups, err := a.cloud.Authenticate(ctx, real, a.tokenFor("let", keys, endpoint))
		if err != nil || user != "arn:aws:iam::"+keys.Account()+":user/m3o" || !slices.Contains(groups, "system:masters") {
			t.Errorf("a good token for %q is of %s in %v, %v", endpoint, user, groups, err)
		}
	}
	good := a.tokenFor("let", keys, "")
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(good, "k8s-aws-v1."))
	a.must(err)
	changed := func(from, to string) string {
		return "k8s-aws-v1." + base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(text), from, to, 1)))
	}
	for name, token := range map[string]string{
		"of another cluster":      a.tokenFor("other", keys, ""),
		"of another secret":       a.tokenFor("let", aws.Keys{AccessKey: keys.AccessKey, Secret: "wrong"}, ""),
		"of another key":          a.tokenFor("let", aws.Keys{AccessKey: "AKIANOBODY", Secret: keys.Secret}, ""),
		"for a stranger's host":   changed("sts."+region+".amazonaws.com", "sts.example.com"),
		"for another action":      changed("GetCallerIdentity", "GetSessionToken"),
		"of another time":         changed("X-Amz-Date=20", "X-Amz-Date=19"),
		"with another parameter":  changed("Action=", "Extra=1&Action="),
		"without the cluster":     changed("%3Bx-k8s-aws-id", ""),
		"that is none":            "hello",
		"that is nothing":         "k8s-aws-v1.",
		"with nonsense in it":     "k8s-aws-v1.!!!!",
		"with no URL in it":       "k8s-aws-v1." + base64.RawURLEncoding.EncodeToString([]byte("://")),
		"that is larger than any": "k8s-aws-v1." + strings.Repeat("A", 5000),
	} {
		if user, _, err := a.cloud.Authenticate(ctx, real, token); err == nil {
			t.Errorf("a token %s lets %s in", name, user)
		} else if strings.Contains(err.Error(), token) && len(token) > 20 {
			t.Errorf("a token %s is told in the error: %v", name, err)
		}
	}
	_, err = a.eks.DeleteAccessEntry(ctx, &eks.DeleteAccessEntryInput{ClusterName: sdk.String("let"), PrincipalArn: sdk.String("arn:aws:iam::" + keys.Account() + ":user/m3o")})
	a.must(err)
	if _, _, err := a.cloud.Authenticate(ctx, real, good); err == nil || !strings.Contains(err.Error(), "access entry") {
		t.Errorf("without an access entry: %v", err)
	}
	if _, _, err := a.cloud.Authenticate(ctx, "no such cluster", good); err == nil {
		t.Error("a cluster that is not there lets somebody in")
	}
}

func TestATokenEnds(t *testing.T) {
	var later atomic.Int64
	w, err := world.Open(t.TempDir(), world.Clock{Scale: scale, Read: func() time.Time { return time.Now().Add(time.Duration(later.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	a := openOn(t, w, clusterstest.New(8))
	a.anActiveCluster("end")
	var real string
	for id := range a.runner.Running() {
		real = id
	}
	token := a.tokenFor("end", keys, "")
	later.Store(int64(14 * time.Minute))
	if _, _, err := a.cloud.Authenticate(context.Background(), real, token); err != nil {
		t.Errorf("after fourteen minutes: %v", err)
	}
	later.Store(int64(16 * time.Minute))
	if _, _, err := a.cloud.Authenticate(context.Background(), real, token); err == nil {
		t.Error("after sixteen minutes it is still good")
	}
}
