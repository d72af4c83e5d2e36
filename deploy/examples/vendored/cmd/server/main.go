// Server has its main package in a subfolder and its dependency in vendor: it builds without any network.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"

	"example.com/words"
)

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, words.Shout(r.URL.Query().Get("say")))
	})
	log.Fatal(http.ListenAndServe(":"+port, nil))
}
