// Modules has a dependency that is nowhere but in the module proxy: the build fetches it, and go.sum says what it must be.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/google/uuid"
)

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://example.com")))
	})
	log.Fatal(http.ListenAndServe(":"+port, nil))
}
