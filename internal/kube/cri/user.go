package cri

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// identity is who a container's processes are.
type identity struct {
	UID, GID int
	Home     string
}

// root reports whether the container needs no user namespace of its own.
func (i identity) root() bool { return i.UID == 0 && i.GID == 0 }

// resolveUser settles the user: the pod's wish, else the image's. Names are
// looked up in the image.
func resolveUser(rootfs string, security *runtimeapi.LinuxContainerSecurityContext, imageUser string) (identity, error) {
	user, group, _ := strings.Cut(imageUser, ":")
	switch {
	case security.GetRunAsUsername() != "":
		user, group = security.GetRunAsUsername(), ""
	case security.GetRunAsUser() != nil:
		user, group = strconv.FormatInt(security.GetRunAsUser().GetValue(), 10), ""
	}
	if security.GetRunAsGroup() != nil {
		group = strconv.FormatInt(security.GetRunAsGroup().GetValue(), 10)
	}
	who, err := lookupUser(rootfs, user)
	if err != nil || group == "" {
		return who, err
	}
	who.GID, err = lookupGroup(rootfs, group)
	return who, err
}

func lookupUser(rootfs, user string) (identity, error) {
	if user == "" {
		user = "0"
	}
	number, err := parseID(user)
	named := err != nil
	entry, found, err := findEntry(rootfs, "/etc/passwd", 7, func(fields []string) bool {
		return fields[0] == user && named || fields[2] == user && !named
	})
	switch {
	case err != nil:
		return identity{}, err
	case named && !found:
		return identity{}, fmt.Errorf("user %q is not in the image's /etc/passwd", user)
	case !found:
		return identity{UID: number, Home: "/"}, nil
	}
	who := identity{Home: entry[5]}
	if who.UID, err = parseID(entry[2]); err != nil {
		return who, fmt.Errorf("user %q in the image's /etc/passwd: %w", user, err)
	}
	if who.GID, err = parseID(entry[3]); err != nil {
		return who, fmt.Errorf("user %q in the image's /etc/passwd: %w", user, err)
	}
	return who, nil
}

func lookupGroup(rootfs, group string) (int, error) {
	if id, err := parseID(group); err == nil {
		return id, nil
	}
	entry, found, err := findEntry(rootfs, "/etc/group", 3, func(fields []string) bool { return fields[0] == group })
	if err != nil {
		return 0, err
	}
	if !found {
		return 0, fmt.Errorf("group %q is not in the image's /etc/group", group)
	}
	return parseID(entry[2])
}

// parseID takes every id but the last, which means none.
func parseID(text string) (int, error) {
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil || id == 1<<32-1 {
		return 0, fmt.Errorf("%q is not a user or group id", text)
	}
	return int(id), nil
}

// findEntry finds a line of a file like /etc/passwd, resolved inside rootfs.
func findEntry(rootfs, path string, fields int, wanted func([]string) bool) ([]string, bool, error) {
	file, err := openInside(rootfs, path)
	if errors.Is(err, unix.ENOENT) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read the image's %s: %w", path, err)
	}
	defer file.Close()
	scanner := bufio.NewScanner(io.LimitReader(file, 4<<20))
	for scanner.Scan() {
		entry := strings.Split(scanner.Text(), ":")
		if len(entry) >= fields && wanted(entry) {
			return entry, true, nil
		}
	}
	return nil, false, scanner.Err()
}

// openInside opens a plain file with rootfs as the root, so that links of the
// image cannot lead to files of the node.
func openInside(rootfs, path string) (*os.File, error) {
	root, err := unix.Open(rootfs, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	how := &unix.OpenHow{Flags: unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(root, path, how)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), path)
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a plain file")
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}
