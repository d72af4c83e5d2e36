// Fixedport is a program that never heard of the platform: it listens on port 3000 whatever $PORT says.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		fmt.Fprintf(w, "port 3000 on %s: %s %s\n", host, r.Method, r.URL.Path)
	})
	log.Fatal(http.ListenAndServe(":3000", nil))
}
