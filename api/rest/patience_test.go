package rest_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/api/rest"
	"github.com/m3o/platform/internal/region"
)

func impatient(a *rest.API) { a.BodyWait = 200 * time.Millisecond }

func (s *site) dial() net.Conn {
	s.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.server.URL, "http://"))
	must(s.t, err)
	s.t.Cleanup(func() { _ = conn.Close() })
	must(s.t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	return conn
}

var asAdmin = "Authorization: Bearer " + secretOf("admin") + "\r\n"

func TestSlowSendersAreCutOff(t *testing.T) {
	s := newSite(t, impatient)
	for name, c := range map[string]struct{ line, headers, want string }{
		"no token":     {"POST /v1/plans", "", " 401 "},
		"no scope":     {"POST /v1/plans", "Authorization: Bearer " + secretOf("nobody") + "\r\n", " 403 "},
		"nowhere":      {"POST /nope", "", " 404 "},
		"login":        {"POST /login", "Content-Type: application/x-www-form-urlencoded\r\n", " 408 "},
		"health":       {"GET /healthz", "", " 200 "},
		"half a plan":  {"POST /v1/plans", asAdmin + "Content-Type: application/json\r\n", " 408 "},
		"half a file":  {"PUT /v1/sources/" + sourceDigest, asAdmin, " 408 "},
		"half a codec": {"POST /v1/codec/decode", asAdmin + "Content-Type: application/json\r\n", " 408 "},
		"no body read": {"POST /v1/regions/lon1/retry", asAdmin, ""},
	} {
		conn := s.dial()
		fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\n%sContent-Length: 1000\r\n\r\n{", c.line, c.headers)
		began := time.Now()
		answer, err := io.ReadAll(conn) // to the end of the connection
		if err != nil || !strings.Contains(string(answer), c.want) || time.Since(began) > 8*time.Second {
			t.Errorf("%s: got %q, %v after %s", name, answer, err, time.Since(began))
		}
		if c.want == " 408 " && (!strings.Contains(string(answer), "application/problem+json") || !strings.Contains(string(answer), `"status":408`)) {
			t.Errorf("%s: the answer is no problem document: %q", name, answer)
		}
	}
}

func TestALongUploadTakesItsTime(t *testing.T) {
	s := newSite(t, impatient)
	digest, archive := packed(t)
	from, to := io.Pipe()
	go func() {
		step := len(archive)/8 + 1
		for len(archive) > 0 {
			n := min(step, len(archive))
			_, _ = to.Write(archive[:n])
			archive = archive[n:]
			time.Sleep(70 * time.Millisecond) // in all longer than the limit for one piece
		}
		to.Close()
	}()
	s.do("PUT", "/v1/sources/"+digest, from, as("admin")).ok(t, 201, nil)
}

// slowPlans takes longer for a plan than a body may take to come.
type slowPlans struct{ *commands }

func (p slowPlans) PlanPlatform(ctx context.Context, in region.PlanInput) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(700 * time.Millisecond):
		return p.commands.PlanPlatform(ctx, in)
	}
}

func TestTheLimitEndsWithTheBody(t *testing.T) {
	s := newSite(t, impatient)
	s.api.Plans = slowPlans{s.commands}
	s.do("POST", "/v1/plans", map[string]string{"file": file}, as("admin")).ok(t, 201, nil)
}
