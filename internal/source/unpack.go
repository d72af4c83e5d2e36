package source

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/m3o/platform/internal/fault"
)

// Unpack extracts the archive r into dir, which is made and must hold nothing, and checks that it is the source with the
// digest. Every write goes through os.Root: nothing is made outside dir even if somebody changes the folder meanwhile. It
// ends soon after ctx does. After an error dir may hold a part; it is for the caller to remove.
func Unpack(ctx context.Context, r io.Reader, dir, digest string, limits Limits) (Stats, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Stats{}, fmt.Errorf("unpack source: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Stats{}, fmt.Errorf("unpack source: %w", err)
	}
	defer root.Close()
	stats, err := read(ctx, r, limits, folderSink{root})
	if err != nil {
		return Stats{}, err
	}
	return stats, checkDigest(stats, digest)
}

// Check reads the whole archive and holds it to the rules of Unpack without writing anything.
func Check(ctx context.Context, r io.Reader, limits Limits) (Stats, error) {
	return read(ctx, r, limits, discardSink{})
}

func checkDigest(stats Stats, digest string) error {
	if stats.Digest != digest {
		return fault.New(fault.Invalid, "the source has the digest %s, not %s", stats.Digest, digest)
	}
	return nil
}

// sink takes what an archive holds, after it was checked.
type sink interface {
	file(name string, exec bool, r io.Reader) error
	link(name, target string) error
}

func read(ctx context.Context, r io.Reader, limits Limits, into sink) (Stats, error) {
	limits = limits.WithDefaults()
	packed := &bounded{r: r, limit: limits.Packed, over: tooPacked(limits)}
	buffered := bufio.NewReader(packed) // gzip reads from it byte by byte, and so leaves what is behind its end
	zip, err := gzip.NewReader(buffered)
	if errors.Is(err, gzip.ErrHeader) {
		return Stats{}, fault.Wrap(fault.Invalid, err, "the source archive is not a gzipped tar")
	}
	if err != nil {
		return Stats{}, badArchive(ctx, err)
	}
	zip.Multistream(false)
	hash := sha256.New()
	plain := &bounded{r: contextReader{ctx, zip}, limit: limits.Unpacked, over: tooLarge(limits)}
	hashed := io.TeeReader(plain, hash)
	files, err := readEntries(ctx, tar.NewReader(hashed), limits, into)
	if err != nil {
		return Stats{}, badArchive(ctx, err)
	}
	if err := drain(hashed, buffered); err != nil {
		return Stats{}, badArchive(ctx, err)
	}
	return Stats{Digest: "sha256:" + hex.EncodeToString(hash.Sum(nil)), Files: files, Packed: packed.n, Unpacked: plain.n}, nil
}

// drain reads what is behind the last entry: padding is part of the digest, anything behind the archive is refused.
func drain(plain, packed io.Reader) error {
	if _, err := io.Copy(io.Discard, plain); err != nil {
		return err
	}
	n, err := io.ReadFull(packed, make([]byte, 1))
	if n > 0 {
		return fault.New(fault.Invalid, "there is something behind the end of the source archive")
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func readEntries(ctx context.Context, archive *tar.Reader, limits Limits, into sink) (int, error) {
	seen, room := newNames(limits), limits.Unpacked
	for n := 0; ; n++ {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			if n == 0 {
				return 0, fault.New(fault.Invalid, "the source archive is empty")
			}
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if err := seen.add(header.Name); err != nil {
			return n, err
		}
		if isSparse(header) {
			return n, fault.New(fault.Invalid, "%.200q in the source is a sparse file", header.Name)
		}
		if room -= header.Size; room < 0 {
			return n, tooLarge(limits)
		}
		// What an entry yields need not be what was read for it, and so is bounded and ended by itself.
		content := io.LimitReader(contextReader{ctx, archive}, header.Size)
		if err := takeEntry(header, content, into); err != nil {
			return n, err
		}
	}
}

func takeEntry(header *tar.Header, content io.Reader, into sink) error {
	switch header.Typeflag {
	case tar.TypeReg:
		return into.file(header.Name, header.Mode&0o100 != 0, content)
	case tar.TypeSymlink:
		if err := checkLink(header.Name, header.Linkname); err != nil {
			return err
		}
		return into.link(header.Name, header.Linkname)
	}
	return fault.New(fault.Invalid, "%.200q in the source is neither a file nor a symbolic link (type %q)", header.Name, header.Typeflag)
}

// isSparse reports a regular file with holes that take no room in the archive: a few bytes stand for any number.
func isSparse(header *tar.Header) bool {
	for key := range header.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// badArchive gives errors of the archive itself a kind; faults and errors of the disk keep theirs, and after the
// end of the context nothing is known of the archive.
func badArchive(ctx context.Context, err error) error {
	var known *fault.Error
	var disk *os.PathError
	var link *os.LinkError
	if ctx.Err() != nil || errors.As(err, &known) || errors.As(err, &disk) || errors.As(err, &link) {
		return err
	}
	return fault.Wrap(fault.Invalid, err, "the source archive cannot be read")
}

type folderSink struct{ root *os.Root }

func (f folderSink) file(name string, exec bool, r io.Reader) (err error) {
	if err := f.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if exec {
		mode = 0o755
	}
	file, err := f.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = io.Copy(file, r)
	return err
}

func (f folderSink) link(name, target string) error {
	if err := f.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	return f.root.Symlink(target, name)
}

type discardSink struct{}

func (discardSink) file(_ string, _ bool, r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func (discardSink) link(string, string) error { return nil }
