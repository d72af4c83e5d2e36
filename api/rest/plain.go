package rest

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"go.temporal.io/sdk/converter"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/blob"
	"github.com/m3o/platform/internal/fault"
)

// registerPlain registers what is no JSON request and answer: health, streams, and the codec that Temporal's UI calls.
func (a *API) registerPlain() {
	page := textOf("text/html", "The page.")
	a.plain("health", http.MethodGet, "/healthz", "Say that the process lives", account.Anyone, false, shape{about: "It does.",
		gives: jsonOf(object("status", "ok", "version", "Version of the process."))}, func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok", "version": a.Version})
	})
	a.plain("ready", http.MethodGet, "/readyz", "Say whether the API is of use", account.Anyone, false, shape{about: "It is.", gives: jsonOf(object("status", "ready")),
		others: map[string]*huma.Response{"503": refusalRef(http.StatusServiceUnavailable)}}, a.ready)
	a.plain("metrics", http.MethodGet, "/metrics", "Metrics for Prometheus", account.ReadMetrics, false, shape{about: "The metrics.",
		gives: textOf("text/plain", "In Prometheus' text format.")}, a.Metrics.ServeHTTP)
	a.plain("stream-events", http.MethodGet, "/v1/events", "Stream events as they happen; Last-Event-ID or after goes on after that event", account.ReadEvents, false, streamShape(), a.streamEvents)
	a.plain("get-openapi", http.MethodGet, "/v1/openapi.json", "This document", account.Known, false, shape{about: "An OpenAPI document.",
		gives: jsonOf(&huma.Schema{Type: huma.TypeObject})}, func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, a.Document())
	})
	// Nothing encrypts for the UI: what it wrote would be taken for a command of ours, and a browser's session let it.
	codec := http.StripPrefix("/v1/codec", converter.NewPayloadCodecHTTPHandler(a.Codec))
	payloads := jsonOf(&huma.Schema{Type: huma.TypeObject, Description: "Temporal's Payloads message as JSON."})
	a.plain("decode-payloads", http.MethodPost, "/v1/codec/decode", "Decrypt payloads for the Temporal UI", account.DecodePayloads, true, shape{takes: payloads,
		gives: payloads, about: "The payloads, readable.", others: map[string]*huma.Response{"400": {Description: "The body is not payloads, or they are not ours.",
			Content: contents(textOf("text/plain", "Why."), nil)}}}, a.forUI(codec).ServeHTTP)
	a.plain("codec-preflight", http.MethodOptions, "/v1/codec/", "Tell a browser that it may ask", account.Anyone, false, shape{}, a.forUI(http.HandlerFunc(noContent)).ServeHTTP)
	a.plain("login-page", http.MethodGet, "/login", "Show the page to log in with a browser", account.Anyone, false, shape{about: "The page.", gives: page}, a.loginPage)
	a.plain("login", http.MethodPost, "/login", "Log in with a browser", account.Anyone, false, loginShape(page), a.login)
}

func jsonOf(s *huma.Schema) map[string]*huma.Schema {
	return map[string]*huma.Schema{"application/json": s}
}

// streamShape is that of the stream of events.
func streamShape() shape {
	return shape{about: "Events until the caller leaves.", gives: textOf("text/event-stream", "Each event has its id, its kind as event, and itself as JSON in data."),
		example: "id: 7\nevent: service.released\ndata: {\"seq\": 7, …}\n\n",
		params: []*huma.Param{
			inQuery("after", "Go on after the event of this id; 0 begins with the first. Without it the stream begins with what happens next.", &huma.Schema{Type: huma.TypeInteger}),
			{Name: "Last-Event-ID", In: "header", Description: "As after, set by browsers that come back.", Schema: &huma.Schema{Type: huma.TypeInteger}},
		}, refuses: []int{http.StatusTooManyRequests}}
}

// loginShape is that of the form of the login page, which says on the page why it refused.
func loginShape(page map[string]*huma.Schema) shape {
	answers := map[string]*huma.Response{"303": {Description: "A session has begun: to the Temporal UI."}, "408": refusalRef(http.StatusRequestTimeout)}
	for _, status := range []int{http.StatusUnauthorized, http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable} {
		answers[strconv.Itoa(status)] = &huma.Response{Description: "The page, which says why. " + refusalsAbout[status], Content: contents(page, nil)}
	}
	return shape{takes: map[string]*huma.Schema{"application/x-www-form-urlencoded": object("token", "A token that is good.")},
		about: "A session has begun, and there is no Temporal UI.", gives: textOf("text/plain", "That it has."), others: answers}
}

func noContent(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a caller who went away
}

func (a *API) ready(w http.ResponseWriter, r *http.Request) {
	if err := errors.Join(a.Accounts.Ping(r.Context()), a.Ready(r)); err != nil {
		slog.WarnContext(r.Context(), "not ready", "error", err)
		writeProblem(w, r, fault.Wrap(fault.Unavailable, err, "not ready: %s", fault.Message(err)))
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}

// forUI lets a browser that shows the Temporal UI read the answer.
func (a *API) forUI(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if origin := r.Header.Get("Origin"); origin != "" && origin == a.TemporalUI {
			h := w.Header()
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Allow-Credentials", "true")
			h.Set("Access-Control-Allow-Headers", "Content-Type, X-Namespace, Authorization, Authorization-Extras")
			h.Set("Access-Control-Allow-Methods", "POST")
			h.Add("Vary", "Origin")
		}
		r.Body = http.MaxBytesReader(w, r.Body, 16<<20)
		next.ServeHTTP(w, r)
	})
}

// copyLog streams a log; one that is followed ends when its reader would not be let in any more. Only what goes wrong before
// the first byte is returned.
func (a *API) copyLog(w http.ResponseWriter, r *http.Request, name string) error {
	if _, err := a.Blobs.Stat(r.Context(), name); err != nil {
		if fault.Is(err, fault.NotFound) {
			return fault.New(fault.NotFound, "there is no log of this build: it has not begun, or an image was deployed that existed")
		}
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	var err error
	if r.URL.Query().Get("follow") == "true" {
		admitted, stop := a.whileAdmitted(r)
		_, err = blob.Follow(admitted.Context(), a.Blobs, name, 0, flusher{w})
		stop()
	} else {
		err = a.copyBlob(w, r, name)
	}
	if err != nil && r.Context().Err() == nil {
		slog.WarnContext(r.Context(), "a build log broke off", "name", name, "error", err)
	}
	return nil
}

func (a *API) copyBlob(w http.ResponseWriter, r *http.Request, name string) error {
	content, err := a.Blobs.Get(r.Context(), name, 0, -1)
	if err != nil {
		return err
	}
	defer content.Close()
	_, err = io.Copy(w, content)
	return err
}

// flusher sends every write at once.
type flusher struct{ http.ResponseWriter }

func (f flusher) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	if err != nil {
		return n, err
	}
	return n, http.NewResponseController(f.ResponseWriter).Flush()
}
