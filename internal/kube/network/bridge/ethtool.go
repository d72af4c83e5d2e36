package bridge

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Commands and sizes of linux/ethtool.h.
const (
	ethtoolStrings     = 0x1b
	ethtoolSetInfo     = 0x37
	ethtoolSetFeatures = 0x3b
	featureStrings     = 4
	stringSize         = 32
	maxFeatures        = 1024
)

// disableFeature switches a feature of an interface off. A kernel that does not
// know the feature is fine.
func disableFeature(link, feature string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	names, err := featureNames(fd, link)
	if err != nil {
		return fmt.Errorf("list the features: %w", err)
	}
	for bit, name := range names {
		if name == feature {
			return clearFeature(fd, link, bit, len(names))
		}
	}
	return nil
}

func featureNames(fd int, link string) ([]string, error) {
	count, err := featureCount(fd, link)
	if err != nil {
		return nil, err
	}
	request := make([]byte, 12+count*stringSize)
	binary.NativeEndian.PutUint32(request[0:], ethtoolStrings)
	binary.NativeEndian.PutUint32(request[4:], featureStrings)
	binary.NativeEndian.PutUint32(request[8:], uint32(count))
	if err := ethtool(fd, link, request); err != nil {
		return nil, err
	}
	names := make([]string, count)
	for i := range names {
		name := request[12+i*stringSize:][:stringSize]
		names[i] = string(bytes.TrimRight(name, "\x00"))
	}
	return names, nil
}

func featureCount(fd int, link string) (int, error) {
	request := make([]byte, 16+4)
	binary.NativeEndian.PutUint32(request[0:], ethtoolSetInfo)
	binary.NativeEndian.PutUint64(request[8:], 1<<featureStrings)
	if err := ethtool(fd, link, request); err != nil {
		return 0, err
	}
	count := binary.NativeEndian.Uint32(request[16:])
	if count > maxFeatures {
		return 0, errors.New("the kernel names more features than there can be")
	}
	return int(count), nil
}

func clearFeature(fd int, link string, bit, count int) error {
	blocks := (count + 31) / 32
	request := make([]byte, 8+blocks*8)
	binary.NativeEndian.PutUint32(request[0:], ethtoolSetFeatures)
	binary.NativeEndian.PutUint32(request[4:], uint32(blocks))
	// A block is a mask of the bits that are meant and one of their values.
	binary.NativeEndian.PutUint32(request[8+bit/32*8:], 1<<(bit%32))
	return ethtool(fd, link, request)
}

// ethtool is one SIOCETHTOOL; the answer overwrites the request.
func ethtool(fd int, link string, request []byte) error {
	ifr, err := unix.NewIfreq(link)
	if err != nil {
		return err
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&request[0])
	call := ifreqData{data: unsafe.Pointer(&request[0])}
	copy(call.name[:], ifr.Name())
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&call)))
	// A positive answer says that some other feature changed along; fine.
	if errno != 0 {
		return errno
	}
	return nil
}

// ifreqData is struct ifreq with a pointer in its union.
type ifreqData struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte
}
