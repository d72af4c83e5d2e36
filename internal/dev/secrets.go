package dev

import "path/filepath"

// TokenFile is where the administrator's token is in a data directory.
func TokenFile(dir string) string { return filepath.Join(dir, "admin.token") }
