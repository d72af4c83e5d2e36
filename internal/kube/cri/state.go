package cri

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/m3o/platform/internal/kube/tree"
)

const (
	stateFile = "state.json"
	// killedExit is the exit code of a container that was killed, or ended
	// with its node.
	killedExit = 137
)

// sandboxRecord is what is on disk of a sandbox. That it was ready is not:
// after a restart none is.
type sandboxRecord struct {
	CreatedAt time.Time
	IP        netip.Addr
	Attached  bool
	Config    json.RawMessage
}

// containerRecord is what is on disk of a container.
type containerRecord struct {
	SandboxID string
	CreatedAt time.Time
	Image     imageUse
	User      identity
	Status    containerState
	Config    json.RawMessage
}

// saveSandbox writes the sandbox's record. The caller holds the server's lock.
func (s *Server) saveSandbox(b *sandbox) error {
	return save(b.dir, b.config, func(config json.RawMessage) any {
		return sandboxRecord{CreatedAt: b.createdAt, IP: b.ip, Attached: b.attached, Config: config}
	})
}

// saveContainer writes the container's record. The caller holds the server's lock.
func (s *Server) saveContainer(c *container) error {
	return save(c.dir, c.config, func(config json.RawMessage) any {
		return containerRecord{
			SandboxID: c.box.id, CreatedAt: c.createdAt, Image: c.image, User: c.user, Status: c.now, Config: config,
		}
	})
}

// save replaces the record in one step.
func save(dir string, config proto.Message, record func(json.RawMessage) any) error {
	encoded, err := protojson.Marshal(config)
	if err != nil {
		return fmt.Errorf("encode the state: %w", err)
	}
	raw, err := json.Marshal(record(encoded))
	if err != nil {
		return fmt.Errorf("encode the state: %w", err)
	}
	temporary := filepath.Join(dir, stateFile+".new")
	if err := os.WriteFile(temporary, raw, 0o600); err != nil {
		return fmt.Errorf("write the state: %w", err)
	}
	return os.Rename(temporary, filepath.Join(dir, stateFile))
}

func load(dir string, record any) error {
	raw, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, record)
}

// recover finds the sandboxes and containers of an earlier runtime. All of
// them have ended with it. A folder without a readable record is of something
// that the kubelet was never told of: it is removed.
func (s *Server) recover() error {
	if err := s.eachFolder(sandboxFolder, s.recoverSandbox); err != nil {
		return err
	}
	if err := s.eachFolder(containerFolder, s.recoverContainer); err != nil {
		return err
	}
	return s.images.Sweep(s.layersInUse())
}

func (s *Server) eachFolder(kind string, each func(id, dir string) error) error {
	parent := filepath.Join(s.config.Root, kind)
	entries, err := os.ReadDir(parent)
	if err != nil {
		return fmt.Errorf("read the runtime's folder: %w", err)
	}
	for _, entry := range entries {
		dir := filepath.Join(parent, entry.Name())
		err := each(entry.Name(), dir)
		if err == nil {
			continue
		}
		s.log.Warn("something unfinished is removed", "folder", dir, "error", err)
		if err := tree.Remove(dir); err != nil {
			return fmt.Errorf("remove an unfinished folder: %w", err)
		}
	}
	return nil
}

func (s *Server) recoverSandbox(id, dir string) error {
	var record sandboxRecord
	if err := load(dir, &record); err != nil {
		return err
	}
	config := &runtimeapi.PodSandboxConfig{}
	if err := protojson.Unmarshal(record.Config, config); err != nil {
		return err
	}
	s.sandboxes[id] = &sandbox{id: id, dir: dir, config: config, createdAt: record.CreatedAt, ip: record.IP, attached: record.Attached}
	return nil
}

func (s *Server) recoverContainer(id, dir string) error {
	var record containerRecord
	if err := load(dir, &record); err != nil {
		return err
	}
	config := &runtimeapi.ContainerConfig{}
	if err := protojson.Unmarshal(record.Config, config); err != nil {
		return err
	}
	box, ok := s.sandboxes[record.SandboxID]
	if !ok {
		return errors.New("its sandbox is gone")
	}
	c := &container{id: id, dir: dir, box: box, config: config, createdAt: record.CreatedAt, image: record.Image, user: record.User, now: record.Status, done: make(chan struct{})}
	close(c.done)
	if c.now.State != runtimeapi.ContainerState_CONTAINER_EXITED {
		c.now.end(killedExit, time.Now(), "Error", "the node was restarted while the container was there")
	}
	s.containers[id] = c
	return s.saveContainer(c)
}
