package source

import (
	"archive/tar"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/m3o/platform/internal/blob"
	"github.com/m3o/platform/internal/fault"
)

func archiveOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := ""
		if h.Typeflag == 0 {
			h.Typeflag, content = tar.TypeReg, "evil content"
			h.Size = int64(len(content))
		}
		h.Mode = 0o644
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return zipped(b.Bytes())
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func link(name, target string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}
}

func malicious(t testing.TB) map[string][]byte {
	file := func(name string) tar.Header { return tar.Header{Name: name} }
	many := make([]tar.Header, 0, 101)
	for i := range 101 {
		many = append(many, file("f"+strings.Repeat("x", i)))
	}
	archives := map[string][]byte{
		"up":                      archiveOf(t, file("../evil")),
		"up in the middle":        archiveOf(t, file("a/../../evil")),
		"absolute":                archiveOf(t, file("/tmp/evil")),
		"dot":                     archiveOf(t, file("./evil")),
		"backslash":               archiveOf(t, file(`a\..\evil`)),
		"link out":                archiveOf(t, link("l", "../.."), file("l/evil")),
		"absolute link":           archiveOf(t, link("l", "/etc")),
		"write through a link":    archiveOf(t, file("d/x"), link("l", "d"), file("l/evil")),
		"link over a file":        archiveOf(t, file("x"), link("x", "y")),
		"file over a link":        archiveOf(t, link("x", "y"), file("x")),
		"links that climb":        archiveOf(t, link("l", "."), link("m", "l/l/l/../../../evil")),
		"hard link":               archiveOf(t, file("x"), tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "x"}),
		"hard link out":           archiveOf(t, tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}),
		"device":                  archiveOf(t, tar.Header{Name: "d", Typeflag: tar.TypeBlock, Devmajor: 8}),
		"character device":        archiveOf(t, tar.Header{Name: "d", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}),
		"pipe":                    archiveOf(t, tar.Header{Name: "p", Typeflag: tar.TypeFifo}),
		"folder":                  archiveOf(t, tar.Header{Name: "d/", Typeflag: tar.TypeDir}),
		"twice":                   archiveOf(t, file("x"), file("x")),
		"case":                    archiveOf(t, file("Makefile"), file("makefile")),
		"case of folders":         archiveOf(t, file("A/x"), file("a/y")),
		"kelvin sign":             archiveOf(t, file("K"), file("\u212a")),
		"file as a folder":        archiveOf(t, file("x"), file("x/y")),
		"folder as a file":        archiveOf(t, file("x/y"), file("x")),
		"long segment":            archiveOf(t, file(strings.Repeat("x", 300))),
		"long name":               archiveOf(t, file(strings.Repeat("x/", 600)+"x")),
		"control character":       archiveOf(t, file("a\nb")),
		"too many":                archiveOf(t, many...),
		"empty":                   zipped(make([]byte, 1024)),
		"no gzip":                 []byte("PK\x03\x04 something else"),
		"no tar":                  zipped([]byte(strings.Repeat("this is no tar ", 100))),
		"bomb":                    bigBomb(),
		"bomb behind the archive": append(archiveOf(t, file("x")), bigBomb()...),
		"something behind":        append(archiveOf(t, file("x")), 'x'),
		"nothing":                 nil,
		"sparse":                  sparse(t, 1<<62),
		"too many folders":        archiveOf(t, deep("a", 60), deep("b", 60)),
		"too long names":          archiveOf(t, longNames(60)...),
		"sparse, a terabyte":      sparse(t, 1<<40),
	}
	whole := archiveOf(t, file("x"), file("y"))
	archives["cut"] = whole[:len(whole)/2]
	return archives
}

// deep is a file below n folders of its own.
func deep(name string, n int) tar.Header { return tar.Header{Name: strings.Repeat(name+"/", n) + "x"} }

// longNames are few files whose names are longer together than what is kept of them may be.
func longNames(n int) []tar.Header {
	folder := strings.Repeat(strings.Repeat("x", 200)+"/", 4)
	headers := make([]tar.Header, n)
	for i := range headers {
		headers[i].Name = fmt.Sprintf("%sf%d", folder, i)
	}
	return headers
}

// bigBomb is made once.
var bigBomb = sync.OnceValue(func() []byte { return bomb(1 << 30) })

// bomb is an archive of one file of n zeros, n at least 4 MiB. A megabyte of zeros is packed once and repeated, each ending where a
// byte does: to pack a gigabyte takes minutes under the race detector.
func bomb(n int64) []byte {
	var head bytes.Buffer
	tar.NewWriter(&head).WriteHeader(&tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Size: n, Mode: 0o644})
	left := (n+511)/512*512 + 1024 // what follows the header is zeros to the archive's end
	piece := make([]byte, 1<<20)
	b := bytes.NewBuffer([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}) // the header of gzip
	z, _ := flate.NewWriter(b, flate.BestSpeed)
	sum, size := crc32.ChecksumIEEE(head.Bytes()), uint32(int64(head.Len())+left)
	z.Write(head.Bytes())
	var packed []byte
	for i := 0; left >= int64(len(piece)); i++ {
		if at := b.Len(); i < 3 { // the first ones refer to the header
			z.Write(piece)
			z.Flush()
			packed = bytes.Clone(b.Bytes()[at:])
		} else {
			b.Write(packed)
		}
		sum = crc32.Update(sum, crc32.IEEETable, piece)
		left -= int64(len(piece))
	}
	z.Write(piece[:left])
	z.Close()
	sum = crc32.Update(sum, crc32.IEEETable, piece[:left])
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b.Bytes(), sum), size)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestLimitsUnlessOthersAreSet(t *testing.T) {
	if l := (Limits{}).WithDefaults(); l != (Limits{Packed: 100e6, Unpacked: 400e6, Files: 50000}) {
		t.Errorf("the limits are %+v", l)
	}
}

// TestABombIsAnArchive, or it would be refused for another reason.
func TestABombIsAnArchive(t *testing.T) {
	const n = 9<<20 + 700
	z, err := gzip.NewReader(bytes.NewReader(bomb(n)))
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(z)
	header, err := r.Next()
	if err != nil || header.Name != "zeros" || header.Size != n {
		t.Fatalf("it begins with %+v, %v", header, err)
	}
	data, err := io.ReadAll(r)
	if err != nil || len(data) != n || strings.Trim(string(data), "\x00") != "" {
		t.Errorf("it holds %d bytes, %v", len(data), err)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("after the file is %v", err)
	}
	if _, err := io.Copy(io.Discard, z); err != nil {
		t.Errorf("its sum is wrong: %v", err)
	}
}

func TestMaliciousArchivesAreRefused(t *testing.T) {
	limits := Limits{Files: 100, Unpacked: 1 << 20}
	for name, archive := range malicious(t) {
		parent := t.TempDir()
		_, unpacked := Unpack(t.Context(), bytes.NewReader(archive), filepath.Join(parent, "in"), "", limits)
		_, checked := Check(t.Context(), bytes.NewReader(archive), limits)
		if !fault.Is(unpacked, fault.Invalid) || !fault.Is(checked, fault.Invalid) || unpacked.Error() != checked.Error() {
			t.Errorf("%s: Unpack = %v; Check = %v", name, unpacked, checked)
		}
		assertOnly(t, name, parent, "in")
		if size := folderSize(t, parent); size > 2<<20 {
			t.Errorf("%s: %d bytes were written", name, size)
		}
	}
	if _, err := os.Lstat("/tmp/evil"); err == nil {
		t.Error("/tmp/evil exists")
	}
}

func assertOnly(t *testing.T, name, dir, only string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != only {
		t.Errorf("%s: beside the folder there is %v, %v", name, entries, err)
	}
}

func folderSize(t *testing.T, dir string) (total int64) {
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if info, err := d.Info(); err == nil && !d.IsDir() {
			total += info.Size()
		}
		return err
	})
	return total
}

func TestAnotherDigestIsRefused(t *testing.T) {
	archive, _ := pack(t, tree(t, map[string]string{"a": "x"}))
	_, other := pack(t, tree(t, map[string]string{"a": "y"}))
	_, err := Unpack(t.Context(), bytes.NewReader(archive), t.TempDir(), other.Digest, Limits{})
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "not "+other.Digest) {
		t.Errorf("Unpack = %v", err)
	}
}

func TestUnpackDoesNotTouchWhatIsThere(t *testing.T) {
	archive, stats := pack(t, tree(t, map[string]string{"a": "new"}))
	dir := tree(t, map[string]string{"a": "old"})
	if _, err := Unpack(t.Context(), bytes.NewReader(archive), dir, stats.Digest, Limits{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Unpack = %v", err)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "a")); string(b) != "old" {
		t.Errorf("content = %q", b)
	}
}

// counted tells how much of an endless upload was read.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func store(t *testing.T) *blob.Folder {
	t.Helper()
	s, err := blob.OpenFolder(filepath.Join(t.TempDir(), "blobs"), blob.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

const someDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestAnUploadOfTwoGigabytesIsRefusedWhileItStreams(t *testing.T) {
	dir := t.TempDir()
	s, err := blob.OpenFolder(dir, blob.Limits{Blob: 4 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	// Stored, not compressed: as many bytes on the wire as in the tar.
	in, out := io.Pipe()
	go func() {
		z, _ := gzip.NewWriterLevel(out, gzip.NoCompression)
		w := tar.NewWriter(z)
		w.WriteHeader(&tar.Header{Name: "big", Typeflag: tar.TypeReg, Size: 2 << 30, Mode: 0o644})
		io.CopyN(w, zeros{}, 2<<30)
		out.Close()
	}()
	defer in.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	body := &counted{r: in}
	_, err = Receive(t.Context(), s, "shop", someDigest, body, Limits{Packed: 10e6, Unpacked: 4 << 30})
	runtime.ReadMemStats(&after)
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "larger than 10 MB when packed") {
		t.Errorf("Receive = %v", err)
	}
	if body.n > 10e6+1 {
		t.Errorf("%d bytes were read", body.n)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 20e6 {
		t.Errorf("%d bytes of memory were used", used)
	}
	if size := folderSize(t, dir); size != 0 {
		t.Errorf("%d bytes were kept", size)
	}
}

func TestReceiveStoresWhatIsGoodAlone(t *testing.T) {
	dir := t.TempDir()
	s, err := blob.OpenFolder(dir, blob.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	archive, stats := pack(t, tree(t, map[string]string{"main.go": "package main\n"}))
	name, err := BlobName("shop", stats.Digest)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		digest string
		body   io.Reader
	}{
		"another digest": {someDigest, bytes.NewReader(archive)},
		"no digest":      {"latest", bytes.NewReader(archive)},
		"an escape":      {"sha256:../../x", bytes.NewReader(archive)},
		"a cut body":     {stats.Digest, bytes.NewReader(archive[:len(archive)-3])},
		"a bomb":         {stats.Digest, bytes.NewReader(bomb(50e6))},
		"no archive":     {stats.Digest, strings.NewReader(`{"not":"an archive"}`)},
		"an empty body":  {stats.Digest, strings.NewReader("")},
	} {
		if _, err := Receive(t.Context(), s, "shop", c.digest, c.body, Limits{Unpacked: 40e6}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: Receive = %v, want invalid", what, err)
		}
		if _, err := s.Stat(t.Context(), name); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: something was stored: %v", what, err)
		}
	}
	got, err := Receive(t.Context(), s, "shop", stats.Digest, bytes.NewReader(archive), Limits{})
	if err != nil || got != stats {
		t.Fatalf("Receive = %+v, %v; want %+v", got, err, stats)
	}
	for what, body := range map[string]string{"garbage": "garbage", "nothing": "", "a part": string(archive[:len(archive)-3])} {
		if _, err := Receive(t.Context(), s, "shop", stats.Digest, strings.NewReader(body), Limits{}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s under a digest that is there: Receive = %v, want invalid", what, err)
		}
	}
	if again, err := Receive(t.Context(), s, "shop", stats.Digest, bytes.NewReader(archive), Limits{}); err != nil || again != stats {
		t.Errorf("the second time: %+v, %v", again, err)
	}
	theirs, err := BlobName("other", stats.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stat(t.Context(), theirs); !fault.Is(err, fault.NotFound) {
		t.Errorf("another project has it, too: %v", err)
	}
	old := time.Now().Add(-20 * time.Hour)
	if err := os.Chtimes(filepath.Join(dir, name), old, old); err != nil {
		t.Fatal(err)
	}
	if _, err := Receive(t.Context(), s, "shop", stats.Digest, bytes.NewReader(archive), Limits{}); err != nil {
		t.Fatal(err)
	}
	if info, err := s.Stat(t.Context(), name); err != nil || time.Since(info.ModTime) > time.Hour {
		t.Errorf("a source that came again is as old as before: %+v, %v", info, err)
	}
	r, err := s.Get(t.Context(), name, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := Unpack(t.Context(), r, filepath.Join(t.TempDir(), "x"), stats.Digest, Limits{}); err != nil {
		t.Error(err)
	}
}

func TestACutConnectionKeepsNothing(t *testing.T) {
	s := store(t)
	archive, stats := pack(t, tree(t, map[string]string{"main.go": "package main\n"}))
	ctx, cancel := context.WithCancel(t.Context())
	body := io.MultiReader(bytes.NewReader(archive[:20]), readerFunc(func([]byte) (int, error) { cancel(); return 0, errors.New("connection reset") }))
	if _, err := Receive(ctx, s, "shop", stats.Digest, body, Limits{}); err == nil || !strings.Contains(err.Error(), "connection reset") {
		t.Errorf("Receive = %v", err)
	}
	name, _ := BlobName("shop", stats.Digest)
	if _, err := s.Stat(t.Context(), name); !fault.Is(err, fault.NotFound) {
		t.Errorf("Stat = %v", err)
	}
}

func TestASourceLiesWithItsProject(t *testing.T) {
	for _, project := range []string{"", "..", "a/b", "A", "-a", "a-", strings.Repeat("a", 64)} {
		if name, err := BlobName(project, someDigest); !fault.Is(err, fault.Invalid) {
			t.Errorf("project %q: %q, %v", project, name, err)
		}
	}
	name, err := BlobName("shop", someDigest)
	if err != nil || blob.CheckName(name) != nil || DigestOf(name) != someDigest || !strings.HasPrefix(name, Folder+"/shop/") {
		t.Errorf("%q of %q, %v", name, DigestOf(name), err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// FuzzUnpack feeds arbitrary tars: whatever comes, nothing appears beside the folder, no link leads out of it, and what
// is accepted can be packed again.
func FuzzUnpack(f *testing.F) {
	for name, archive := range malicious(f) {
		if z, err := gzip.NewReader(bytes.NewReader(archive)); err == nil && !strings.Contains(name, "bomb") {
			plain, _ := io.ReadAll(z)
			f.Add(plain)
		}
	}
	f.Fuzz(func(t *testing.T, plain []byte) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "in")
		_, err := Unpack(t.Context(), bytes.NewReader(zipped(plain)), dir, "", Limits{Files: 50, Unpacked: 1 << 20})
		if err == nil {
			t.Fatal("an empty digest was accepted")
		}
		assertOnly(t, "fuzz", parent, "in")
		filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.Type()&fs.ModeSymlink != 0 {
				if real, err := filepath.EvalSymlinks(name); err == nil && !strings.HasPrefix(real, dir) {
					t.Errorf("%s leads to %s", name, real)
				}
			}
			return nil
		})
	})
}
