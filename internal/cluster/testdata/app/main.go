// Command app is the service that the tests deploy. Its argument says how it behaves.
package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	behaviour, address := "", ":"+os.Getenv("PORT")
	if len(os.Args) > 1 {
		behaviour = os.Args[1]
	}
	switch behaviour {
	case "crash":
		fmt.Println("the database is not configured")
		os.Exit(3)
	case "elsewhere":
		address = ":1234"
	}
	http.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if behaviour == "unwell" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "release %s in %s as %d", os.Getenv("M3O_RELEASE"), os.Getenv("M3O_REGION"), os.Getuid())
	})
	fmt.Println("listens on", address)
	fmt.Println(http.ListenAndServe(address, nil))
	os.Exit(1)
}
