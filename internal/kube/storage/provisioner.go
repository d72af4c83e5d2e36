package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/m3o/platform/internal/kube/tree"
)

const (
	// The controller manager writes this on claims that an outside provisioner,
	// which it names, has to serve.
	claimProvisioner  = "volume.kubernetes.io/storage-provisioner"
	volumeProvisioner = "pv.kubernetes.io/provisioned-by"
	// A volume that is deleted keeps this until its directory is gone, or marked as
	// one that stays.
	finalizer = "m3o.dev/directory"
	// retained ends the name of the mark beside a directory that its volume's
	// policy, Retain, leaves to the user.
	retained = ".retained"

	retryMin = 200 * time.Millisecond
	retryMax = 30 * time.Second
)

// Provisioner makes a directory and a volume for each claim of our classes, and
// removes both when the claim is gone.
type Provisioner struct {
	client kubernetes.Interface
	dir    string
	give   func(path string) error
	logger *slog.Logger

	factory informers.SharedInformerFactory
	claims  corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
	classes storagelisters.StorageClassLister
	queue   workqueue.TypedRateLimitingInterface[item]
}

// item is a claim or, without a namespace, a volume.
type item struct {
	namespace, name string
}

// New returns a provisioner whose volumes are directories in dir; give makes one
// belong to who pods are.
func New(client kubernetes.Interface, dir string, give func(path string) error, logger *slog.Logger) *Provisioner {
	factory := informers.NewSharedInformerFactory(client, 0)
	return &Provisioner{
		client: client, dir: dir, give: give, logger: logger, factory: factory,
		claims:  factory.Core().V1().PersistentVolumeClaims().Lister(),
		volumes: factory.Core().V1().PersistentVolumes().Lister(),
		classes: factory.Storage().V1().StorageClasses().Lister(),
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[item](retryMin, retryMax)),
	}
}

// Run provisions until ctx ends.
func (p *Provisioner) Run(ctx context.Context) error {
	defer p.queue.ShutDown()
	for _, informer := range []cache.SharedIndexInformer{
		p.factory.Core().V1().PersistentVolumeClaims().Informer(),
		p.factory.Core().V1().PersistentVolumes().Informer(),
	} {
		if _, err := informer.AddEventHandler(p.handler()); err != nil {
			return fmt.Errorf("watch volumes: %w", err)
		}
	}
	p.factory.StartWithContext(ctx)
	defer p.factory.Shutdown()
	// To a cache that has not been filled, no directory has a volume.
	if synced := p.factory.WaitForCacheSyncWithContext(ctx); synced.Err != nil || ctx.Err() != nil {
		return nil
	}
	if err := p.sweep(); err != nil && ctx.Err() == nil {
		p.logger.Warn("storage: could not remove old directories", "error", err)
	}
	stop := context.AfterFunc(ctx, p.queue.ShutDown)
	defer stop()
	for p.next(ctx) {
	}
	return nil
}

func (p *Provisioner) handler() cache.ResourceEventHandler {
	enqueue := func(object any) {
		if meta, ok := object.(metav1.Object); ok {
			p.queue.Add(item{namespace: meta.GetNamespace(), name: meta.GetName()})
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(_, object any) { enqueue(object) },
	}
}

func (p *Provisioner) next(ctx context.Context) bool {
	key, quit := p.queue.Get()
	if quit {
		return false
	}
	defer p.queue.Done(key)
	err := p.sync(ctx, key)
	if err == nil || ctx.Err() != nil {
		p.queue.Forget(key)
		return true
	}
	p.logger.Warn("storage: will try again", "namespace", key.namespace, "name", key.name, "error", err)
	p.queue.AddRateLimited(key)
	return true
}

func (p *Provisioner) sync(ctx context.Context, key item) error {
	if key.namespace == "" {
		volume, err := p.volumes.Get(key.name)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return p.reclaim(ctx, volume)
	}
	claim, err := p.claims.PersistentVolumeClaims(key.namespace).Get(key.name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return p.provision(ctx, claim)
}

// provision makes the claim's directory and volume. Both are named after the
// claim's UID, so that trying again finds what was made.
func (p *Provisioner) provision(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	if claim.Annotations[claimProvisioner] != provisionerName || claim.Spec.VolumeName != "" || claim.DeletionTimestamp != nil {
		return nil
	}
	if claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode == corev1.PersistentVolumeBlock {
		return errors.New("class " + Class + " has no block devices: set volumeMode to Filesystem")
	}
	if claim.Spec.StorageClassName == nil {
		return nil
	}
	class, err := p.classes.Get(*claim.Spec.StorageClassName)
	if err != nil {
		return fmt.Errorf("the claim's storage class: %w", err)
	}
	path := filepath.Join(p.dir, volumeName(claim))
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("make the volume's directory: %w", err)
	}
	// Whichever user an image runs as has to be able to write to its volume.
	if err := os.Chmod(path, 0o777); err != nil {
		return fmt.Errorf("open the volume's directory: %w", err)
	}
	if err := p.give(path); err != nil {
		return err
	}
	policy := corev1.PersistentVolumeReclaimDelete
	if class.ReclaimPolicy != nil {
		policy = *class.ReclaimPolicy
	}
	_, err = p.client.CoreV1().PersistentVolumes().Create(ctx, volumeFor(claim, path, policy), metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make the claim's volume: %w", err)
	}
	return nil
}

func volumeName(claim *corev1.PersistentVolumeClaim) string { return "pvc-" + string(claim.UID) }

func volumeFor(claim *corev1.PersistentVolumeClaim, path string, policy corev1.PersistentVolumeReclaimPolicy) *corev1.PersistentVolume {
	kind := corev1.HostPathDirectory
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name:        volumeName(claim),
			Annotations: map[string]string{volumeProvisioner: provisionerName},
			Finalizers:  []string{finalizer},
		},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes:                   claim.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: policy,
			StorageClassName:              *claim.Spec.StorageClassName,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path, Type: &kind}},
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID, ResourceVersion: claim.ResourceVersion,
			},
		},
	}
}

// reclaim removes a volume of ours whose claim is gone, if its policy is Delete,
// and lets go of one that the user deletes.
func (p *Provisioner) reclaim(ctx context.Context, volume *corev1.PersistentVolume) error {
	if volume.Annotations[volumeProvisioner] != provisionerName {
		return nil
	}
	bound := volume.Status.Phase == corev1.VolumeBound || volume.Status.Phase == corev1.VolumePending
	deleted := volume.DeletionTimestamp != nil
	released := volume.Status.Phase == corev1.VolumeReleased || volume.Status.Phase == corev1.VolumeFailed
	remove := volume.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete
	if bound || (!deleted && (!released || !remove)) {
		return nil
	}
	if remove {
		if err := tree.Remove(filepath.Join(p.dir, volume.Name)); err != nil {
			return err
		}
	} else if err := p.retain(volume.Name); err != nil {
		return fmt.Errorf("mark the volume's directory as one that stays: %w", err)
	}
	if !deleted {
		err := p.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{
			Preconditions: metav1.NewUIDPreconditions(string(volume.UID)),
		})
		return ignoreGone(err)
	}
	return p.letGo(ctx, volume)
}

// retain marks the volume's directory. The mark is on the disk when it returns:
// once the volume is gone, nothing else says that the directory stays.
func (p *Provisioner) retain(volume string) error {
	mark, err := os.OpenFile(filepath.Join(p.dir, volume+retained), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(mark.Sync(), mark.Close()); err != nil {
		return err
	}
	dir, err := os.Open(p.dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (p *Provisioner) letGo(ctx context.Context, volume *corev1.PersistentVolume) error {
	if !slices.Contains(volume.Finalizers, finalizer) {
		return nil
	}
	changed := volume.DeepCopy()
	changed.Finalizers = slices.DeleteFunc(changed.Finalizers, func(name string) bool { return name == finalizer })
	_, err := p.client.CoreV1().PersistentVolumes().Update(ctx, changed, metav1.UpdateOptions{})
	return ignoreGone(err)
}

func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// sweep removes directories that have neither a volume nor a claim nor a mark:
// they were made just before a kill, for claims that are gone since. Marks go
// with directories that the user removed.
func (p *Provisioner) sweep() error {
	claims, err := p.claims.List(labels.Everything())
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, claim := range claims {
		keep[volumeName(claim)] = true
	}
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, entry := range entries {
		there[entry.Name()] = true
	}
	var problems []error
	for name := range there {
		directory, isMark := strings.CutSuffix(name, retained)
		_, err := p.volumes.Get(directory)
		if keep[directory] || !apierrors.IsNotFound(err) || there[name+retained] || isMark && there[directory] {
			continue
		}
		problems = append(problems, tree.Remove(filepath.Join(p.dir, name)))
	}
	return errors.Join(problems...)
}
