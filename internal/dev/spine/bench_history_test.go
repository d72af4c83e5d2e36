//go:build embedded && bench

package spine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	temporalclient "go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/control"
)

// histories reads what workflows did and when, by Temporal's own clock, which is ours: it is one machine.
type histories struct {
	temporal temporalclient.Client
	payloads converter.DataConverter
}

// histories dials the platform's Temporal with the keys of its data directory.
func (p *platform) histories(t *testing.T) *histories {
	t.Helper()
	keys, err := control.LoadOrCreateKeys(filepath.Join(p.dir, "payload.keys"))
	if err != nil {
		t.Fatal(err)
	}
	codec, err := control.NewCodec(keys)
	if err != nil {
		t.Fatal(err)
	}
	c, err := control.Dial(t.Context(), control.Settings{Address: "127.0.0.1:" + strconv.Itoa(7233+p.offset), Codec: codec,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &histories{temporal: c, payloads: converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), codec)}
}

// act is one activity of a history; of a local one all times are the same.
type act struct {
	name                          string
	scheduled, started, completed time.Time
	attempt                       int32
	input                         *commonpb.Payloads
}

// past is one workflow's history.
type past struct {
	began, ended time.Time
	acts         []act
}

// last is the last activity of the name.
func (p past) last(name string) (act, error) {
	for i := len(p.acts) - 1; i >= 0; i-- {
		if p.acts[i].name == name {
			return p.acts[i], nil
		}
	}
	return act{}, fmt.Errorf("the history has no activity %s", name)
}

// await waits for a workflow that may not have begun yet, and takes its answer.
func (h *histories) await(ctx context.Context, id string, answer any) error {
	for {
		err := h.temporal.GetWorkflow(ctx, id, "").Get(ctx, answer)
		var missing *serviceerror.NotFound
		if !errors.As(err, &missing) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("workflow %s does not begin: %w", id, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (h *histories) read(ctx context.Context, id string) (past, error) {
	var p past
	byEvent := map[int64]int{}
	events := h.temporal.GetWorkflowHistory(ctx, id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			return past{}, fmt.Errorf("read the history of %s: %w", id, err)
		}
		if e.GetEventType() == enumspb.EVENT_TYPE_MARKER_RECORDED {
			err = p.addLocal(h.payloads, e)
		}
		if err != nil {
			return past{}, fmt.Errorf("read the history of %s: %w", id, err)
		}
		p.add(e, byEvent)
	}
	return p, nil
}

func (p *past) add(e *historypb.HistoryEvent, byEvent map[int64]int) {
	at := e.GetEventTime().AsTime()
	switch e.GetEventType() {
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
		p.began = at
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
		p.ended = at
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
		a := e.GetActivityTaskScheduledEventAttributes()
		byEvent[e.GetEventId()] = len(p.acts)
		p.acts = append(p.acts, act{name: a.GetActivityType().GetName(), scheduled: at, input: a.GetInput()})
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED:
		a := e.GetActivityTaskStartedEventAttributes()
		if i, known := byEvent[a.GetScheduledEventId()]; known {
			p.acts[i].started, p.acts[i].attempt = at, a.GetAttempt()
		}
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
		if i, known := byEvent[e.GetActivityTaskCompletedEventAttributes().GetScheduledEventId()]; known {
			p.acts[i].completed = at
		}
	}
}

// addLocal adds a local activity, of which a history has the moment alone when it was recorded to be over.
func (p *past) addLocal(payloads converter.DataConverter, e *historypb.HistoryEvent) error {
	marker := e.GetMarkerRecordedEventAttributes()
	if marker.GetMarkerName() != "LocalActivity" {
		return nil
	}
	var told struct{ ActivityType string }
	if err := payloads.FromPayloads(marker.GetDetails()["data"], &told); err != nil {
		return fmt.Errorf("read a local activity: %w", err)
	}
	at := e.GetEventTime().AsTime()
	p.acts = append(p.acts, act{name: told.ActivityType, scheduled: at, started: at, completed: at, attempt: 1})
	return nil
}

// calls is a client of the platform's API as the command line uses it.
func (p *platform) calls(t *testing.T) *client.Client {
	t.Helper()
	return &client.Client{Base: p.api, Token: p.token(t)}
}

func (p *platform) token(t *testing.T) string {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(p.dir, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(token))
}

// fetch makes a request that must be answered with the status.
func fetch(req *http.Request, status int) ([]byte, error) {
	resp, err := driver.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != status {
		err = fmt.Errorf("%s %s: %s: %s", req.Method, req.URL.Path, resp.Status, body)
	}
	return body, err
}

// driver keeps as many connections open as the busiest loop uses.
var driver = &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
