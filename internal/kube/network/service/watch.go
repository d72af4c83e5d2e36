package service

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// Watch keeps the table up to date from the factory's informers, which the
// caller starts. The result tells when the table has seen all there is.
func (t *Table) Watch(factory informers.SharedInformerFactory) (synced []cache.InformerSynced, err error) {
	services, err := factory.Core().V1().Services().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { t.onService(obj, false) },
		UpdateFunc: func(_, obj any) { t.onService(obj, false) },
		DeleteFunc: func(obj any) { t.onService(obj, true) },
	})
	if err != nil {
		return nil, fmt.Errorf("watch services: %w", err)
	}
	slices, err := factory.Discovery().V1().EndpointSlices().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { t.onSlice(obj, false) },
		UpdateFunc: t.onSliceChange,
		DeleteFunc: func(obj any) { t.onSlice(obj, true) },
	})
	if err != nil {
		return nil, fmt.Errorf("watch endpoint slices: %w", err)
	}
	return []cache.InformerSynced{services.HasSynced, slices.HasSynced}, nil
}

func (t *Table) onService(obj any, gone bool) {
	service, ok := lastKnown(obj).(*corev1.Service)
	if !ok {
		return
	}
	if gone {
		t.DeleteService(types.NamespacedName{Namespace: service.Namespace, Name: service.Name})
		return
	}
	t.SetService(service)
}

func (t *Table) onSlice(obj any, gone bool) {
	slice, ok := lastKnown(obj).(*discoveryv1.EndpointSlice)
	if !ok {
		return
	}
	if gone {
		t.DeleteSlice(slice)
		return
	}
	t.SetSlice(slice)
}

// onSliceChange also follows a slice that was given to another Service.
func (t *Table) onSliceChange(old, obj any) {
	before, ok := old.(*discoveryv1.EndpointSlice)
	after, isSlice := obj.(*discoveryv1.EndpointSlice)
	if !ok || !isSlice {
		return
	}
	if before.Labels[discoveryv1.LabelServiceName] != after.Labels[discoveryv1.LabelServiceName] {
		t.DeleteSlice(before)
	}
	t.SetSlice(after)
}

// lastKnown is the object itself, or what a missed deletion left of it.
func lastKnown(obj any) any {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		return tombstone.Obj
	}
	return obj
}
