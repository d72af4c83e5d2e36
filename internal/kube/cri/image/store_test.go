package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// A layer whose files may not be on the disk must not be in its place, where
// it would be believed after a power cut.
func TestLayerIsOnTheDiskBeforeItIsInItsPlace(t *testing.T) {
	s, err := Open(t.TempDir(), nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	archive, diffID := archiveOf(t, "program", "hello")
	place := filepath.Join(s.LayersDir(), Folder(diffID))
	broken := errors.New("the disk is broken")
	s.toDisk = func(folder string) error {
		if content, err := os.ReadFile(filepath.Join(folder, "program")); err != nil || string(content) != "hello" {
			t.Errorf("asked to be on the disk is %q, %v", content, err)
		}
		if _, err := os.Stat(place); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the layer is in its place already: %v", err)
		}
		return broken
	}
	if _, err := s.unpackLayer(t.Context(), diffID, bytes.NewReader(archive)); !errors.Is(err, broken) {
		t.Errorf("from a broken disk: %v", err)
	}
	if _, err := os.Stat(place); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a layer that is not on the disk is in its place: %v", err)
	}
	s.toDisk = syncAround
	if _, err := s.unpackLayer(t.Context(), diffID, bytes.NewReader(archive)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(place, "program")); err != nil {
		t.Error(err)
	}
}

// archiveOf is a layer with one file, and its digest.
func archiveOf(t testing.TB, name, body string) (archive []byte, diffID string) {
	t.Helper()
	var raw bytes.Buffer
	writer := tar.NewWriter(&raw)
	err := writer.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(body))})
	if err == nil {
		_, err = writer.Write([]byte(body))
	}
	if err := errors.Join(err, writer.Close()); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(raw.Bytes())
	return raw.Bytes(), "sha256:" + hex.EncodeToString(sum[:])
}

// BenchmarkLayer unpacks a layer with one program, of the size of a service's,
// and lists it: as it is, and without waiting for the disk before.
func BenchmarkLayer(b *testing.B) {
	for name, toDisk := range map[string]func(string) error{"synced": syncAround, "unsynced": func(string) error { return nil }} {
		b.Run(name, func(b *testing.B) {
			s, err := Open(b.TempDir(), nil, slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			s.toDisk = toDisk
			archive, diffID := archiveOf(b, "program", string(make([]byte, 30<<20)))
			for b.Loop() {
				size, err := s.unpackLayer(b.Context(), diffID, bytes.NewReader(archive))
				s.index.Layers[diffID] = size
				if err := errors.Join(err, s.save()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
