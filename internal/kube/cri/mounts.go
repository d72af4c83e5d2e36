package cri

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/m3o/platform/internal/kube/cri/image"
	"github.com/m3o/platform/internal/kube/cri/stage"
)

// checkMounts refuses mounts that cannot be made, before anything is.
func checkMounts(mounts []*runtimeapi.Mount) error {
	for _, m := range mounts {
		target := path.Clean("/" + m.GetContainerPath())
		switch {
		case m.GetContainerPath() == "" || target == "/":
			return status.Errorf(codes.InvalidArgument, "%q cannot be a mount point", m.GetContainerPath())
		case target == "/proc" || strings.HasPrefix(target, "/proc/"):
			return status.Errorf(codes.InvalidArgument, "%s cannot be a mount point: /proc is the kernel's", target)
		case m.GetPropagation() == runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL:
			return status.Errorf(codes.InvalidArgument, "%s: bidirectional mount propagation needs a privileged container, which this node does not offer", target)
		case m.GetImage().GetImage() != "" && m.GetHostPath() != "":
			return status.Errorf(codes.InvalidArgument, "%s: both an image and a path of the node", target)
		case len(m.GetUidMappings()) > 0 || len(m.GetGidMappings()) > 0:
			return status.Errorf(codes.InvalidArgument, "%s: mapped ids are not offered by this node", target)
		case m.GetImage().GetImage() != "":
			continue
		}
		if _, err := os.Stat(m.GetHostPath()); err != nil {
			return status.Errorf(codes.FailedPrecondition, "mount %s: %v", target, err)
		}
	}
	return nil
}

// mounts are all of the container's volumes, outer ones first.
func (c *container) mounts() ([]stage.Mount, error) {
	var mounts []stage.Mount
	taken := map[string]bool{}
	for i, m := range c.config.GetMounts() {
		mount, err := c.mount(i, m)
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, mount)
		taken[mount.Target] = true
	}
	for target, file := range map[string]string{"/etc/resolv.conf": "resolv.conf", "/etc/hostname": "hostname"} {
		if !taken[target] {
			mounts = append(mounts, stage.Mount{Source: c.box.path(file), Target: target, ReadOnly: c.security().GetReadonlyRootfs()})
		}
	}
	for _, d := range c.config.GetDevices() {
		mounts = append(mounts, stage.Mount{Source: d.GetHostPath(), Target: path.Clean("/" + d.GetContainerPath()), ReadOnly: !strings.Contains(d.GetPermissions(), "w")})
	}
	slices.SortStableFunc(mounts, func(a, b stage.Mount) int {
		return cmp.Compare(strings.Count(a.Target, "/"), strings.Count(b.Target, "/"))
	})
	return mounts, nil
}

func (c *container) mount(number int, m *runtimeapi.Mount) (stage.Mount, error) {
	mount := stage.Mount{
		Source: m.GetHostPath(), Target: path.Clean("/" + m.GetContainerPath()),
		ReadOnly: m.GetReadonly(), Recursive: m.GetRecursiveReadOnly(),
		Follow: m.GetPropagation() == runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER,
	}
	if m.GetImage().GetImage() != "" {
		source, err := filepath.EvalSymlinks(filepath.Join(c.imageMount(number), filepath.Clean("/"+m.GetImageSubPath())))
		if err != nil || !strings.HasPrefix(source+"/", c.imageMount(number)+"/") {
			return mount, fmt.Errorf("the image has no %q to mount at %s", m.GetImageSubPath(), mount.Target)
		}
		mount.Source, mount.ReadOnly = source, true
	}
	for _, option := range m.GetMountOptions() {
		switch option {
		case "noexec":
			mount.NoExec = true
		case "nodev":
			mount.NoDev = true
		case "nosuid":
			mount.NoSuid = true
		default:
			return mount, fmt.Errorf("mount %s: unknown option %q", mount.Target, option)
		}
	}
	return mount, nil
}

func (c *container) imageMount(number int) string {
	return c.path("image-" + strconv.Itoa(number))
}

// imageMounts are the places of the container's image volumes.
func (c *container) imageMounts() []string {
	var paths []string
	for i, m := range c.config.GetMounts() {
		if m.GetImage().GetImage() != "" {
			paths = append(paths, c.imageMount(i))
		}
	}
	return paths
}

// mountImages mounts the images that are volumes of the container.
func (s *Server) mountImages(c *container) error {
	for i, m := range c.config.GetMounts() {
		name := m.GetImage().GetImage()
		if name == "" {
			continue
		}
		found, err := s.addLayers(c, name)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(c.imageMount(i), 0o755); err != nil {
			return fmt.Errorf("make the container's folder: %w", err)
		}
		folders := found.Folders()
		if len(folders) == 1 {
			folders = append(folders, folders[0])
		}
		if err := s.mountOverlay(overlay{folders: folders, point: c.imageMount(i)}); err != nil {
			return err
		}
	}
	return nil
}

// addLayers notes that the container uses the image, as a volume.
func (s *Server) addLayers(c *container, name string) (*image.Image, error) {
	s.claims.RLock()
	defer s.claims.RUnlock()
	found, ok := s.images.Get(name)
	if !ok {
		return nil, status.Errorf(codes.NotFound, "image %s, wanted as a volume, is not on this node", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.image.Layers = slices.Concat(c.image.Layers, found.Layers)
	return found, nil
}
