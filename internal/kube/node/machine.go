package node

import (
	"github.com/google/cadvisor/lib/model"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/kubelet/cadvisor"
)

// machine reports the size of the node that was ordered instead of the machine it
// runs on. Everything else is the machine's. What a node promises is what the
// scheduler counts with; nothing enforces it here.
type machine struct {
	cadvisor.Interface
	cores  int
	memory uint64
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
