package wire

import (
	"encoding/binary"
	"fmt"
	"io"

	"gvisor.dev/gvisor/pkg/buffer"
)

// Sizes on an uplink. Every frame is sent as its length (LengthSize bytes, big
// endian), the offload header and the Ethernet frame.
const (
	LengthSize  = 4
	OffloadSize = 10
	EtherSize   = 14

	// MinFrame and MaxFrame bound what the length may say: an offload header,
	// an Ethernet header and at most the largest IPv4 packet.
	MinFrame = OffloadSize + EtherSize
	MaxFrame = OffloadSize + EtherSize + 65535
)

// Values of the kernel's struct virtio_net_hdr.
const (
	FlagNeedsChecksum = 1
	SegmentNone       = 0
	SegmentTCPv4      = 1
	segmentECN        = 0x80
)

// Offload is the part of the kernel's struct virtio_net_hdr that is used here.
type Offload struct {
	Flags          uint8
	Segment        uint8
	HeaderLength   uint16
	SegmentSize    uint16
	ChecksumStart  uint16
	ChecksumOffset uint16
}

// Put writes o into the first OffloadSize bytes of b, in the machine's order,
// as the kernel wants it.
func (o Offload) Put(b []byte) {
	_ = b[OffloadSize-1]
	b[0], b[1] = o.Flags, o.Segment
	binary.NativeEndian.PutUint16(b[2:], o.HeaderLength)
	binary.NativeEndian.PutUint16(b[4:], o.SegmentSize)
	binary.NativeEndian.PutUint16(b[6:], o.ChecksumStart)
	binary.NativeEndian.PutUint16(b[8:], o.ChecksumOffset)
}

// Carried says whether the switch carries a frame (offload header first): it
// must be whole, hold IPv4 or ARP, and ask for no segmentation but TCP's,
// which is the only one that every receiver understands.
func Carried(frame []byte) bool {
	if len(frame) < MinFrame || len(frame) > MaxFrame {
		return false
	}
	switch frame[1] &^ segmentECN {
	case SegmentNone, SegmentTCPv4:
	default:
		return false
	}
	switch binary.BigEndian.Uint16(frame[OffloadSize+12:]) {
	case etherIPv4, etherARP:
		return true
	}
	return false
}

const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
)

// ReadFrame reads one frame. The caller releases it. A length outside
// of MinFrame and MaxFrame means that the two sides have lost step and is an
// error; nothing is allocated for it.
func ReadFrame(r io.Reader) (*buffer.View, error) {
	var length [LengthSize]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(length[:])
	if size < MinFrame || size > MaxFrame {
		return nil, fmt.Errorf("frame of %d bytes: want %d to %d", size, MinFrame, MaxFrame)
	}
	frame := buffer.NewViewSize(int(size))
	if _, err := io.ReadFull(r, frame.AsSlice()); err != nil {
		frame.Release()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return frame, nil
}
