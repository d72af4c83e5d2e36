package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/m3o/platform/internal/sandbox/inbox"
	"github.com/m3o/platform/internal/sandbox/world"
)

const (
	maxControlBody  = 64 << 10
	defaultRequests = 100
)

// control is the sandbox's own API, on its first port.
func (s *server) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /_sandbox/faults", s.listFaults)
	mux.HandleFunc("POST /_sandbox/faults", s.addFault)
	mux.HandleFunc("DELETE /_sandbox/faults", s.clearFaults)
	mux.HandleFunc("GET /_sandbox/effects", s.effects)
	mux.HandleFunc("GET /_sandbox/state", s.state)
	mux.HandleFunc("GET /_sandbox/requests", s.requests)
	mux.HandleFunc("POST /_sandbox/lease", s.renewLease)
	mux.HandleFunc("POST /_sandbox/clusters/{provider}/{cluster}/tokenreview", s.reviewToken)
	all := http.NewServeMux()
	all.Handle("/", noBrowsers(mux))
	s.inbox().Routes(mux, all)
	return all
}

// inbox is what people received. Its page is for browsers: the guard of every port sees to where its forms come from.
func (s *server) inbox() inbox.Server {
	channels := map[string]any{}
	for _, p := range s.providers {
		if p, is := p.(interface{ Channel() string }); is {
			channels[p.Channel()] = p
		}
	}
	return inbox.Server{World: s.world, Channels: channels}
}

// noBrowsers refuses what a page of somebody else's makes a browser send.
func noBrowsers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") == "cross-site" {
			refuse(w, http.StatusForbidden, "the sandbox's control routes are not for browsers")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *server) health(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"status": "ok", "pid": os.Getpid(), "arguments": os.Args[1:], "dir": s.config.Dir,
		"time_scale": s.config.TimeScale, "endpoints": s.endpoints})
}

func (s *server) listFaults(w http.ResponseWriter, r *http.Request) {
	var faults []world.Fault
	err := s.world.View(r.Context(), func(tx *world.Tx) (err error) {
		faults, err = tx.Faults()
		return err
	})
	s.tell(w, r, http.StatusOK, map[string]any{"faults": faults}, err)
}

func (s *server) addFault(w http.ResponseWriter, r *http.Request) {
	var f world.Fault
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControlBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("a fault is {provider, operation, match, fault, times, after, delay, status}: %v", err))
		return
	}
	provider, err := s.provider(f.Provider)
	if err == nil {
		err = f.Validate(provider.Operations(), faultsOf(provider))
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	err = s.world.Update(r.Context(), func(tx *world.Tx) (err error) {
		f, err = tx.AddFault(f)
		return err
	})
	s.tell(w, r, http.StatusCreated, f, err)
}

// provider finds a provider by its name.
func (s *server) provider(name string) (Provider, error) {
	var names []string
	for _, p := range s.providers {
		if p.Name() == name {
			return p, nil
		}
		names = append(names, p.Name())
	}
	return nil, fmt.Errorf("provider %q is none of %s", name, strings.Join(names, ", "))
}

// faultsOf are the ways in which a provider can misbehave.
func faultsOf(p Provider) []string {
	if own, has := p.(misbehaver); has {
		return own.Faults()
	}
	return world.OfClouds
}

func (s *server) clearFaults(w http.ResponseWriter, r *http.Request) {
	err := s.world.Update(r.Context(), (*world.Tx).ClearFaults)
	s.tell(w, r, http.StatusOK, map[string]any{"faults": []world.Fault{}}, err)
}

// effects writes the ledger as JSON lines: those after number since, of one provider if that is asked for.
func (s *server) effects(w http.ResponseWriter, r *http.Request) {
	since, err := number(r, "since", 0)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	effects, err := s.world.EffectsOf(r.Context(), r.URL.Query().Get("provider"), int64(since))
	if err != nil {
		s.tell(w, r, http.StatusOK, nil, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	encoder := json.NewEncoder(w)
	for _, effect := range effects {
		if err := encoder.Encode(effect); err != nil {
			return // the reader has gone
		}
	}
}

func (s *server) state(w http.ResponseWriter, r *http.Request) {
	var all map[string]map[string][]json.RawMessage
	err := s.world.View(r.Context(), func(tx *world.Tx) (err error) {
		all, err = tx.Everything()
		return err
	})
	s.tell(w, r, http.StatusOK, map[string]any{"providers": all}, err)
}

func (s *server) requests(w http.ResponseWriter, r *http.Request) {
	n, err := number(r, "n", defaultRequests)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	answer(w, http.StatusOK, map[string]any{"requests": s.world.Requests.Last(n)})
}

func (s *server) renewLease(w http.ResponseWriter, _ *http.Request) {
	ends := s.lease.renew()
	body := map[string]any{"expires_at": nil}
	if !ends.IsZero() {
		body["expires_at"] = ends.UTC().Format(time.RFC3339Nano)
	}
	answer(w, http.StatusOK, body)
}

// number reads a query parameter.
func number(r *http.Request, name string, otherwise int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s %q is not a number", name, text)
	}
	return n, nil
}

// tell answers with body, unless it failed.
func (s *server) tell(w http.ResponseWriter, r *http.Request, status int, body any, err error) {
	if err != nil {
		s.config.Logger.ErrorContext(r.Context(), "sandbox: a control request failed", "error", err)
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	answer(w, status, body)
}

func refuse(w http.ResponseWriter, status int, message string) {
	answer(w, status, map[string]string{"error": message})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the reader may have gone
}
