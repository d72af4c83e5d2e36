package network

import "github.com/m3o/platform/internal/kube/network/bridge"

// Bridge is a node's part of the network.
type Bridge = bridge.Bridge

// BridgeConfig says what a Bridge needs.
type BridgeConfig = bridge.Config

// NewBridge makes the bridge of a node in the network namespace of the calling
// process, and starts to carry frames between it and the uplink, a connection
// to the listener of Network.ServeUplinks.
func NewBridge(cfg BridgeConfig) (*Bridge, error) { return bridge.New(cfg) }
