package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Program is one of the platform's own executables that runs in regions: etcd, NATS, our own binary.
type Program struct {
	Name   string // of the repository
	Binary string // path on this machine
	Config Config
}

// Packer makes images of the platform's own programs. It remembers in one small file what it pushed, by the executables'
// sizes, times and hashes, so that a second start reads none of them.
type Packer struct {
	Client   Client
	Registry string // "host:port/prefix"
	Arch     string
	Dir      string // for the memory and the layers
}

// remembered is what was pushed for a program.
type remembered struct {
	Size      int64  `json:"size"`
	ModTime   int64  `json:"mod_time"` // nanoseconds
	SHA256    string `json:"sha256"`
	Config    string `json:"config"` // hash of Config and Base
	Reference string `json:"reference"`
}

// Platform pushes the images of the programs that the registry does not hold yet, and returns all references, by digest.
func (p Packer) Platform(ctx context.Context, programs []Program) (map[string]string, error) {
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("pack the platform's images: %w", err)
	}
	known, references := p.load(), map[string]string{}
	for _, program := range programs {
		entry, err := p.ensure(ctx, program, known[program.Name])
		if err != nil {
			return nil, fmt.Errorf("image of %s: %w", program.Name, err)
		}
		known[program.Name], references[program.Name] = entry, entry.Reference
		if err := p.save(known); err != nil {
			return nil, err
		}
	}
	return references, nil
}

// ensure returns the former image when the executable is the same and the registry still holds it.
func (p Packer) ensure(ctx context.Context, program Program, before remembered) (remembered, error) {
	info, err := os.Stat(program.Binary)
	if err != nil {
		return remembered{}, err
	}
	now := remembered{Size: info.Size(), ModTime: info.ModTime().UnixNano(), SHA256: before.SHA256, Config: program.Config.hash(), Reference: before.Reference}
	if now != before {
		// Built again is not changed: only the hash tells.
		if now.SHA256, err = hashFile(program.Binary); err != nil {
			return remembered{}, err
		}
	}
	if before.Reference != "" && now.SHA256 == before.SHA256 && now.Config == before.Config {
		if _, ok, err := p.Client.Has(ctx, before.Reference); err != nil || ok {
			return now, err
		}
	}
	now.Reference, err = p.push(ctx, program)
	return now, err
}

func (p Packer) push(ctx context.Context, program Program) (reference string, err error) {
	scratch, err := os.MkdirTemp(p.Dir, "layer-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	img, err := FromBinary(scratch, program.Binary, p.Arch, program.Config)
	if err != nil {
		return "", err
	}
	return p.Client.Push(ctx, p.Registry+"/"+program.Name, "", img)
}

func (p Packer) memory() string { return filepath.Join(p.Dir, "platform-images.json") }

// load forgets a memory that cannot be read: it saves time, nothing else.
func (p Packer) load() map[string]remembered {
	known := map[string]remembered{}
	if b, err := os.ReadFile(p.memory()); err != nil || json.Unmarshal(b, &known) != nil || known == nil {
		return map[string]remembered{}
	}
	for name, entry := range known {
		if entry.Reference != "" && !p.ours(name, entry.Reference) {
			delete(known, name) // the registry has moved to another address
		}
	}
	return known
}

func (p Packer) ours(name, reference string) bool {
	prefix := p.Registry + "/" + name + "@"
	return len(reference) > len(prefix) && reference[:len(prefix)] == prefix
}

func (p Packer) save(known map[string]remembered) error {
	b, err := json.MarshalIndent(known, "", "\t")
	if err != nil {
		return err
	}
	return writeDurably(p.memory(), b)
}

// hash is of everything that goes into the image beside the program.
func (c Config) hash() string {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings, numbers and bytes always marshal
	}
	sum := sha256.Sum256(append(b, Base...))
	return hex.EncodeToString(sum[:])
}

func hashFile(name string) (text string, err error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// tempPrefix begins the names of files that are being written. No tag or digest begins with a dot.
const tempPrefix = ".write-"

// writeDurably replaces the file in one step that outlives a kill and a loss of power.
func writeDurably(name string, content []byte) error {
	dir := filepath.Dir(name)
	temp, err := os.CreateTemp(dir, tempPrefix+"*")
	if err != nil {
		return err
	}
	_, err = temp.Write(content)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), name)
	}
	if err != nil {
		if gone := os.Remove(temp.Name()); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
		return err
	}
	return syncDir(dir)
}

func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
