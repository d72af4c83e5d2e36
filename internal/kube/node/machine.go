package node

import (
	"context"
	"fmt"
	"time"

	"github.com/google/cadvisor/lib/model"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/kubelet/cadvisor"
)

// machine reports the size of the node that was ordered instead of the machine it
// runs on, and file systems by asking them: cAdvisor finds them by the mounts
// and cgroups of a whole machine. Everything else is the machine's. What a node
// promises is what the scheduler counts with; nothing enforces it here.
type machine struct {
	cadvisor.Interface
	cores  int
	memory uint64
	// root is the kubelet's directory, images the runtime's.
	root, images string
}

// MachineInfo is asked by the kubelet for the node's capacity.
func (m machine) MachineInfo(logger klog.Logger) (*model.MachineInfo, error) {
	info, err := m.Interface.MachineInfo(logger)
	if err != nil {
		return nil, err
	}
	sized := info.Clone()
	sized.NumCores = m.cores
	sized.MemoryCapacity = m.memory
	return sized, nil
}

// RootFsInfo, ImagesFsInfo, ContainerFsInfo and GetDirFsInfo say how full file
// systems are.
func (m machine) RootFsInfo() (model.FsInfo, error) { return m.GetDirFsInfo(m.root) }

func (m machine) ImagesFsInfo(context.Context) (model.FsInfo, error) { return m.GetDirFsInfo(m.images) }

func (m machine) ContainerFsInfo(context.Context) (model.FsInfo, error) {
	return m.GetDirFsInfo(m.images)
}

func (m machine) GetDirFsInfo(path string) (model.FsInfo, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return model.FsInfo{}, fmt.Errorf("look at the file system of %s: %w", path, err)
	}
	block := uint64(stat.Bsize)
	return model.FsInfo{
		Timestamp:  time.Now(),
		Device:     fmt.Sprintf("%x", stat.Fsid.Val),
		Mountpoint: path,
		Capacity:   stat.Blocks * block,
		Available:  stat.Bavail * block,
		Usage:      (stat.Blocks - stat.Bfree) * block,
		Inodes:     &stat.Files,
		InodesFree: &stat.Ffree,
	}, nil
}
