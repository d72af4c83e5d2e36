package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"

	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/fault"
)

const marker = "a-word-that-must-not-be-read"

func keys(t *testing.T) control.Keys {
	t.Helper()
	k, err := control.LoadOrCreateKeys(filepath.Join(t.TempDir(), "keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func codec(t *testing.T, k control.Keys) *control.Codec {
	t.Helper()
	c, err := control.NewCodec(k)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func plain(t *testing.T) *commonpb.Payload {
	t.Helper()
	p, err := converter.GetDefaultDataConverter().ToPayload(map[string]string{"secret": marker})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func sealed(t *testing.T, c *control.Codec) *commonpb.Payload {
	t.Helper()
	out, err := c.Encode([]*commonpb.Payload{plain(t)})
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}

func open(c *control.Codec, p *commonpb.Payload) (*commonpb.Payload, error) {
	out, err := c.Decode([]*commonpb.Payload{p})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

func TestPayloadsAreEncryptedAndComeBack(t *testing.T) {
	c := codec(t, keys(t))
	first, second := sealed(t, c), sealed(t, c)
	whole, err := proto.Marshal(first)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{marker, "secret", "json/plain"} {
		if bytes.Contains(whole, []byte(word)) {
			t.Errorf("an encrypted payload holds %q", word)
		}
	}
	if bytes.Equal(first.Data, second.Data) {
		t.Error("the same payload encrypts to the same bytes twice")
	}
	back, err := open(c, first)
	if err != nil || !proto.Equal(back, plain(t)) {
		t.Errorf("got back %v, %v", back, err)
	}
}

// TestWhatIsNotEncryptedIsRefused, and shown to people who look on.
func TestWhatIsNotEncryptedIsRefused(t *testing.T) {
	c := codec(t, keys(t))
	for name, p := range map[string]*commonpb.Payload{"plain": plain(t), "without metadata": {Data: []byte("1")}, "nothing": {},
		"null": {Metadata: map[string][]byte{"encoding": []byte("binary/null")}}} {
		if back, err := open(c, p); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "not encrypted") {
			t.Errorf("%s: got %v, %v", name, back, err)
		}
		shown, err := c.Viewer().Decode([]*commonpb.Payload{p, sealed(t, c)})
		if err != nil || !proto.Equal(shown[0], p) || !proto.Equal(shown[1], plain(t)) {
			t.Errorf("%s: shown is %v, %v", name, shown, err)
		}
	}
}

// TestPayloadsBelongToTheirWorkflow: what one workflow was given does not command another, and whoever looks on needs not know whose it is.
func TestPayloadsBelongToTheirWorkflow(t *testing.T) {
	c := codec(t, keys(t))
	own, other := c.For("service/a/hello"), c.For("service/b/hello")
	p := sealed(t, own)
	for name, reader := range map[string]*control.Codec{"its own": own, "one who looks on": c} {
		if back, err := open(reader, p); err != nil || !proto.Equal(back, plain(t)) {
			t.Errorf("%s: %v, %v", name, back, err)
		}
	}
	if _, err := open(other, p); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "service/a/hello") || !strings.Contains(err.Error(), "service/b/hello") {
		t.Errorf("another: %v", err)
	}
	for name, touch := range map[string]func(){
		"whose it is is taken off":   func() { delete(p.Metadata, "bound-to") },
		"it is said to be another's": func() { p.Metadata["bound-to"] = []byte("service/b/hello") },
	} {
		touch()
		if back, err := open(other, p); err == nil {
			t.Errorf("%s: %v", name, back)
		}
	}
	if back, err := open(own, sealed(t, c)); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "bound to no workflow") {
		t.Errorf("nobody's: %v, %v", back, err)
	}
}

func TestOldKeysStillDecode(t *testing.T) {
	old, fresh := keys(t), keys(t)
	p := sealed(t, codec(t, old))
	both := control.Keys{Current: fresh.Current, All: map[string]string{fresh.Current: fresh.All[fresh.Current], old.Current: old.All[old.Current]}}
	c := codec(t, both)
	if back, err := open(c, p); err != nil || !proto.Equal(back, plain(t)) {
		t.Errorf("under the old key: %v, %v", back, err)
	}
	if id := string(sealed(t, c).Metadata["encryption-key-id"]); id != fresh.Current {
		t.Errorf("new payloads are written under %q, want the current key %q", id, fresh.Current)
	}
	if _, err := open(codec(t, fresh), p); err == nil || !strings.Contains(err.Error(), old.Current) {
		t.Errorf("without the old key: %v; want an error that names it", err)
	}
}

func TestPayloadsThatWereTouchedAreRefused(t *testing.T) {
	k := keys(t)
	c := codec(t, k)
	other := control.Keys{Current: k.Current, All: map[string]string{k.Current: strings.Repeat("ab", 32), "other": k.All[k.Current]}}
	for name, touch := range map[string]func(*commonpb.Payload) *control.Codec{
		"a bit":        func(p *commonpb.Payload) *control.Codec { p.Data[len(p.Data)/2] ^= 1; return c },
		"the nonce":    func(p *commonpb.Payload) *control.Codec { p.Data[0] ^= 1; return c },
		"the end":      func(p *commonpb.Payload) *control.Codec { p.Data = p.Data[:len(p.Data)-1]; return c },
		"all but some": func(p *commonpb.Payload) *control.Codec { p.Data = p.Data[:5]; return c },
		"everything":   func(p *commonpb.Payload) *control.Codec { p.Data = nil; return c },
		"the key":      func(*commonpb.Payload) *control.Codec { return codec(t, other) },
		"the key's id": func(p *commonpb.Payload) *control.Codec {
			p.Metadata["encryption-key-id"] = []byte("other")
			return codec(t, other)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := sealed(t, c)
			if back, err := open(touch(p), p); err == nil {
				t.Errorf("it was decoded to %v", back)
			} else if strings.Contains(err.Error(), marker) {
				t.Errorf("the error tells the secret: %v", err)
			}
		})
	}
}

func TestAKeyFileIsMadeOnceAndForItsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	first, err := control.LoadOrCreateKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := control.LoadOrCreateKeys(path)
	if err != nil || second.Current != first.Current || second.All[first.Current] != first.All[first.Current] {
		t.Errorf("read again: %v, %v", second, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v, %v", left, err)
	}
}

func TestADamagedKeyFileIsSaidSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(path, []byte(`{"current": "a", "keys`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := control.LoadOrCreateKeys(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want an error that names the file", err)
	}
	if data, err := os.ReadFile(path); err != nil || !strings.HasPrefix(string(data), `{"current"`) {
		t.Error("the damaged file was overwritten: what it encrypted is lost")
	}
	if _, err := control.LoadOrCreateKeys(filepath.Join(path, "no", "folder")); err == nil {
		t.Error("a file in no folder was made")
	}
}

func TestKeysThatAreNone(t *testing.T) {
	good := strings.Repeat("ab", 32)
	for name, k := range map[string]control.Keys{
		"none": {}, "current is missing": {Current: "a", All: map[string]string{"b": good}}, "too short": {Current: "a", All: map[string]string{"a": "abcd"}},
		"no hex": {Current: "a", All: map[string]string{"a": strings.Repeat("zz", 32)}}, "an old one is damaged": {Current: "a", All: map[string]string{"a": good, "b": "x"}},
	} {
		_, err := control.NewCodec(k)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if data, _ := json.Marshal(k.All); strings.Contains(err.Error(), good) && len(data) > 0 {
			t.Errorf("%s: the error tells a key", name)
		}
	}
}

func TestTemporalsErrorsAreTheFaultsThatTheyWere(t *testing.T) {
	app := func(kind string) error { return temporal.NewNonRetryableApplicationError("what happened", kind, nil) }
	for name, c := range map[string]struct {
		err   error
		kind  fault.Kind
		words string
	}{
		"refused":            {app("conflict"), fault.Conflict, "what happened"},
		"refused, wrapped":   {fmt.Errorf("update: %w", app("quota")), fault.Quota, "what happened"},
		"an error of ours":   {app("Error"), fault.Failed, "what happened"},
		"nobody there":       {serviceerror.NewNotFound("workflow not found"), fault.NotFound, "nothing of that name is running"},
		"no answer":          {context.DeadlineExceeded, fault.Unavailable, "did not answer in time"},
		"no answer by grpc":  {serviceerror.NewDeadlineExceeded("context deadline exceeded"), fault.Unavailable, "did not answer in time"},
		"too large":          {serviceerror.NewInvalidArgument("BadUpdate: blob size exceeds limit"), fault.Invalid, "blob size exceeds limit"},
		"ended by an hand":   {fmt.Errorf("wait: %w", &temporal.TerminatedError{}), fault.Failed, "an operator ended the work before it was done"},
		"cancelled":          {temporal.NewCanceledError(), fault.Failed, "an operator ended the work before it was done"},
		"engine is away":     {serviceerror.NewUnavailable("connection refused"), fault.Unavailable, "the platform cannot work now: try again in a moment"},
		"something unheard":  {errors.New("x"), fault.Unavailable, "the platform cannot work now: try again in a moment"},
		"timed out activity": {fmt.Errorf("run: %w", temporal.NewTimeoutError(3, nil)), fault.Unavailable, "did not answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			got := control.Translate(c.err)
			if fault.Of(got) != c.kind || !strings.Contains(fault.Message(got), c.words) {
				t.Errorf("got %s %q, want %s %q", fault.Of(got), fault.Message(got), c.kind, c.words)
			}
			if !errors.Is(got, c.err) {
				t.Error("operators cannot see the cause")
			}
		})
	}
	if control.Translate(nil) != nil {
		t.Error("no error became one")
	}
}
