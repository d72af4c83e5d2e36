// Command app is what the tests run in pods: it answers over HTTP what a pod sees.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "echo" {
		fmt.Println(strings.Join(os.Args[2:], " "))
		return
	}
	if err := serve(); err != nil {
		log.Fatal(err)
	}
}

func serve() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	server := &http.Server{Addr: ":8080", Handler: routes(), ReadHeaderTimeout: 5 * time.Second}
	log.Printf("listening as %s, version %s", os.Getenv("HOSTNAME"), os.Getenv("VERSION"))
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	if path := os.Getenv("STOP_FILE"); path != "" {
		if err := os.WriteFile(path, []byte("stopped"), 0o644); err != nil {
			return err
		}
	}
	// Endpoints are told at the same time as we are: serve a little longer.
	time.Sleep(time.Second)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return server.Shutdown(ctx)
}

func routes() http.Handler {
	var ready atomic.Bool
	ready.Store(os.Getenv("NOT_READY") == "")
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		name, _ := os.Hostname()
		fmt.Fprintf(w, "%s %s", name, os.Getenv("VERSION"))
	})
	mux.HandleFunc("/ready", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			ready.Store(true)
		}
		if !ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/get", func(w http.ResponseWriter, r *http.Request) { answer(w)(get(r.FormValue("url"))) })
	mux.HandleFunc("/kubernetes", func(w http.ResponseWriter, _ *http.Request) { answer(w)(askAPIServer()) })
	mux.HandleFunc("/lookup", func(w http.ResponseWriter, r *http.Request) { answer(w)(lookup(r.FormValue("name"))) })
	mux.HandleFunc("/read", func(w http.ResponseWriter, r *http.Request) {
		data, err := os.ReadFile(r.FormValue("path"))
		answer(w)(string(data), err)
	})
	mux.HandleFunc("/write", func(w http.ResponseWriter, r *http.Request) {
		answer(w)("", os.WriteFile(r.FormValue("path"), []byte(r.FormValue("data")), 0o644))
	})
	mux.HandleFunc("/fill", func(w http.ResponseWriter, r *http.Request) {
		size, err := strconv.Atoi(r.FormValue("bytes"))
		if err == nil {
			err = os.WriteFile(r.FormValue("path"), make([]byte, size), 0o644)
		}
		answer(w)("", err)
	})
	mux.HandleFunc("/eat", func(w http.ResponseWriter, r *http.Request) {
		size, err := strconv.Atoi(r.FormValue("bytes"))
		if err == nil {
			eaten = append(eaten, bytes.Repeat([]byte("x"), size))
		}
		answer(w)("", err)
	})
	return mux
}

var eaten [][]byte

func answer(w http.ResponseWriter) func(string, error) {
	return func(text string, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		fmt.Fprint(w, text)
	}
}

func get(url string) (string, error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if response.StatusCode >= http.StatusBadRequest {
		return "", errors.New(response.Status)
	}
	return string(body), err
}

// askAPIServer asks the API server as a pod does, with what the kubelet mounted.
func askAPIServer() (string, error) {
	const account = "/var/run/secrets/kubernetes.io/serviceaccount/"
	token, err := os.ReadFile(account + "token")
	if err != nil {
		return "", err
	}
	authority, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return "", err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	request, err := http.NewRequest(http.MethodGet, "https://kubernetes.default.svc/apis", nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+string(token))
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	return response.Status, nil
}

func lookup(name string) (string, error) {
	addresses, err := net.LookupHost(name)
	return strings.Join(addresses, " "), err
}
