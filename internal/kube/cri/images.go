package cri

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/m3o/platform/internal/kube/cri/image"
)

// imageService answers the CRI's image calls.
type imageService struct {
	*Server
	runtimeapi.UnimplementedImageServiceServer
}

// PullImage fetches an image.
func (s *imageService) PullImage(ctx context.Context, r *runtimeapi.PullImageRequest) (*runtimeapi.PullImageResponse, error) {
	started := time.Now()
	id, err := s.images.Pull(ctx, r.GetImage().GetImage(), credentials(r.GetAuth()))
	switch {
	case errors.Is(err, image.ErrNotFound):
		return nil, status.Error(codes.NotFound, err.Error())
	case errors.Is(err, image.ErrDenied):
		return nil, status.Error(codes.PermissionDenied, err.Error())
	case err != nil:
		return nil, status.Error(codes.Unknown, err.Error())
	}
	s.log.Info("pulled an image", "image", r.GetImage().GetImage(), "id", id, "took", time.Since(started))
	return &runtimeapi.PullImageResponse{ImageRef: id}, nil
}

func credentials(auth *runtimeapi.AuthConfig) authn.AuthConfig {
	return authn.AuthConfig{
		Username: auth.GetUsername(), Password: auth.GetPassword(), Auth: auth.GetAuth(),
		IdentityToken: auth.GetIdentityToken(), RegistryToken: auth.GetRegistryToken(),
	}
}

// ListImages lists the images, or the one that the filter names.
func (s *imageService) ListImages(_ context.Context, r *runtimeapi.ListImagesRequest) (*runtimeapi.ListImagesResponse, error) {
	return &runtimeapi.ListImagesResponse{Images: s.listImages(r.GetFilter())}, nil
}

// StreamImages is ListImages in pieces.
func (s *imageService) StreamImages(r *runtimeapi.StreamImagesRequest, stream grpc.ServerStreamingServer[runtimeapi.StreamImagesResponse]) error {
	return inPieces(s.listImages(r.GetFilter()), func(items []*runtimeapi.Image) error {
		return stream.Send(&runtimeapi.StreamImagesResponse{Images: items})
	})
}

func (s *imageService) listImages(filter *runtimeapi.ImageFilter) []*runtimeapi.Image {
	wanted := filter.GetImage().GetImage()
	if wanted != "" {
		found, ok := s.images.Get(wanted)
		if !ok {
			return nil
		}
		return []*runtimeapi.Image{s.describe(found)}
	}
	var items []*runtimeapi.Image
	for _, i := range s.images.List() {
		items = append(items, s.describe(i))
	}
	return items
}

func (s *imageService) describe(i *image.Image) *runtimeapi.Image {
	item := &runtimeapi.Image{
		Id: i.ID, RepoTags: i.Tags, RepoDigests: i.Digests,
		// The kubelet takes an image of no size for a broken one.
		Size: uint64(max(s.images.Size(i), 1)), Spec: &runtimeapi.ImageSpec{Image: i.ID},
	}
	user, _, _ := strings.Cut(i.Config.Config.User, ":")
	if number, err := strconv.ParseInt(user, 10, 64); err == nil {
		item.Uid = &runtimeapi.Int64Value{Value: number}
	} else {
		item.Username = user
	}
	return item
}

// ImageStatus describes an image; one that is not here has no description.
func (s *imageService) ImageStatus(_ context.Context, r *runtimeapi.ImageStatusRequest) (*runtimeapi.ImageStatusResponse, error) {
	found, ok := s.images.Get(r.GetImage().GetImage())
	if !ok {
		return &runtimeapi.ImageStatusResponse{}, nil
	}
	answer := &runtimeapi.ImageStatusResponse{Image: s.describe(found)}
	if r.GetVerbose() {
		raw, err := json.Marshal(map[string]any{"imageSpec": found.Config})
		answer.Info = map[string]string{"info": string(raw)}
		return answer, err
	}
	return answer, nil
}

// RemoveImage forgets an image and deletes the layers that nothing else needs.
func (s *imageService) RemoveImage(_ context.Context, r *runtimeapi.RemoveImageRequest) (*runtimeapi.RemoveImageResponse, error) {
	s.claims.Lock()
	defer s.claims.Unlock()
	if err := s.images.Remove(r.GetImage().GetImage(), s.layersInUse()); err != nil {
		return nil, err
	}
	return &runtimeapi.RemoveImageResponse{}, nil
}

// ImageFsInfo tells the room that images and containers take.
func (s *imageService) ImageFsInfo(context.Context, *runtimeapi.ImageFsInfoRequest) (*runtimeapi.ImageFsInfoResponse, error) {
	size, inodes := s.images.Usage()
	own, ownInodes := s.containerDisk()
	place := func(size, inodes uint64) []*runtimeapi.FilesystemUsage {
		return []*runtimeapi.FilesystemUsage{{
			Timestamp: time.Now().UnixNano(), FsId: &runtimeapi.FilesystemIdentifier{Mountpoint: s.config.Root},
			UsedBytes: amount(size), InodesUsed: amount(inodes),
		}}
	}
	return &runtimeapi.ImageFsInfoResponse{
		ImageFilesystems: place(uint64(size), uint64(inodes)), ContainerFilesystems: place(own, ownInodes),
	}, nil
}

// containerDisk adds up what containers wrote, as far as it has been measured
// lately; others are measured now.
func (s *Server) containerDisk() (size, inodes uint64) {
	for _, c := range s.selectContainers(func(*container) bool { return true }) {
		bytes, files := s.usage.measureDisk(c.id, c.path("upper"))
		size += bytes
		inodes += files
	}
	return size, inodes
}
