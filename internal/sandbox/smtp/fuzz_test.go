package smtp

import "testing"

// FuzzParse: whatever a caller sends is a mail or is refused.
func FuzzParse(f *testing.F) {
	f.Add([]byte(disk))
	f.Add([]byte("Subject: =?utf-8?q?=E2?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b--"))
	f.Add([]byte("Content-Type: text/html\nContent-Transfer-Encoding: base64\n\nPGEgaHJlZj0iaHR0cDovL2EiPg=="))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, _, err := parse(raw)
		if err == nil && m.Raw != string(raw) {
			t.Error("what is kept is not what came")
		}
	})
}
