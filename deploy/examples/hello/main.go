// Hello is a small service of the outside world: it needs nothing but Go's standard library, and knows of the platform only
// what the environment tells it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(); err != nil {
		slog.Error("hello ends", "error", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	server := &http.Server{Addr: ":" + env("PORT", "8080"), Handler: routes(), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	slog.Info("hello listens", "address", server.Addr, "region", env("M3O_REGION", "here"), "release", env("M3O_RELEASE", "none"))
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	// Requests that are being answered are answered to the end; new ones go elsewhere.
	ending, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	slog.Info("hello shuts down")
	if err := server.Shutdown(ending); err != nil {
		return err
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", home)
	mux.HandleFunc("POST /greet", greet)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return mux
}

// home says which region, release and instance answers.
func home(w http.ResponseWriter, _ *http.Request) {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	fmt.Fprintf(w, "hello from %s (service %s, release %s, instance %s)\n",
		env("M3O_REGION", "here"), env("M3O_SERVICE", "hello"), env("M3O_RELEASE", "none"), host)
}

type greeting struct {
	Message string `json:"message"`
	Region  string `json:"region"`
}

func greet(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Name string `json:"name"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&request); err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": "the body is not JSON of the form {\"name\": \"Ada\"}"})
		return
	}
	name := strings.TrimSpace(request.Name)
	if name == "" {
		answer(w, http.StatusBadRequest, map[string]string{"error": "name is empty"})
		return
	}
	answer(w, http.StatusOK, greeting{Message: "Hello " + name, Region: env("M3O_REGION", "here")})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		slog.Warn("answer was not taken", "error", err)
	}
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
