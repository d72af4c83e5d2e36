package alert

import (
	"strings"
	"testing"
)

func TestACodeIsKnownByItsHashAlone(t *testing.T) {
	code := CodeOf([]byte{0, 31, 32, 63, 7, 8, 9, 255, 1})
	if code != "2Z2Z9ABZ" {
		t.Errorf("the code is %q", code)
	}
	hash := HashCode(code)
	if strings.Contains(hash, code) || hash == HashCode(code) {
		t.Errorf("the hash %q tells the code, or has no salt", hash)
	}
	for typed, right := range map[string]bool{code: true, "2z2z-9abz": true, " 2Z2Z 9ABZ": true, "2Z2Z9AB": false, "": false, hash: false} {
		if IsCode(typed, hash) != right {
			t.Errorf("%q is the code: %t", typed, !right)
		}
	}
	if IsCode("", "") || IsCode(code, "") || IsCode(code, "not base64!") {
		t.Error("without a hash a code is right")
	}
}

func TestOthersSeeOfAnAddressWhatIsOfNoUse(t *testing.T) {
	for _, c := range []struct {
		contact Contact
		want    string
	}{
		{Contact{Channel: Email, Address: "ana.lovelace@example.com"}, "a***@example.com"},
		{Contact{Channel: Email, Address: "über@example.com"}, "ü***@example.com"},
		{Contact{Channel: SMS, Address: "+447700900123"}, "+4***23"},
		{Contact{Channel: Slack, Address: "U012ABCDEF"}, "U0***EF"},
		{Contact{Channel: Slack, Address: "U1"}, "***"},
		{Contact{Channel: Webhook, Address: "https://hooks.example.com/services/T0/hunter2?key=x"}, "https://hooks.example.com/***277b8d2f"},
	} {
		if got := c.contact.Masked(); got != c.want {
			t.Errorf("%s is shown as %q, want %q", c.contact.Address, got, c.want)
		}
	}
}
