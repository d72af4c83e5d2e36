package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/fault"
)

func FuzzReadEvents(f *testing.F) {
	f.Add([]byte("id: 1\nevent: region.ready\ndata: {\"seq\":1}\n\n: still here\n\ndata: {\"seq\":2}\r\n\r\n"), "hello")
	f.Add([]byte("data: {\ndata:\"seq\":3}\n\n"), "a\nb")
	f.Add([]byte("data\n\ndata:\n\n"), "")
	f.Add([]byte("data: {\"seq\":1}"), "\x00\xff")
	f.Fuzz(func(t *testing.T, stream []byte, message string) {
		seen := 0
		err := readEvents(bytes.NewReader(stream), func(event.Event) error { seen++; return nil })
		if blank := bytes.Count(stream, []byte("\n")); seen > blank {
			t.Errorf("%d events in %d lines", seen, blank)
		}
		if err != nil && !fault.Is(err, fault.Invalid) && !strings.HasPrefix(err.Error(), "read events") {
			t.Errorf("broke off with %v", err)
		}
		told := event.Event{Seq: 7, Kind: "service.ready", Message: strings.ToValidUTF8(message, "?")}
		data, err := json.Marshal(told)
		if err != nil {
			t.Fatal(err)
		}
		written := fmt.Sprintf(": still here\n\nid: %d\nevent: %s\ndata: %s\n\n", told.Seq, told.Kind, data)
		err = readEvents(strings.NewReader(written), func(e event.Event) error {
			if e != told {
				t.Errorf("%+v is read as %+v", told, e)
			}
			return nil
		})
		if err != nil && len(data) < maxEvent/2 {
			t.Errorf("%+v is not read: %v", told, err)
		}
	})
}
