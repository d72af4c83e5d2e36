package dev

import "path/filepath"

// TokenFile is where the administrator's token is in a data directory.
func TokenFile(dir string) string { return filepath.Join(dir, "admin.token") }

// APIFile is where the address of the API is in a data directory, once it is ready.
func APIFile(dir string) string { return filepath.Join(dir, "run", "api.url") }
