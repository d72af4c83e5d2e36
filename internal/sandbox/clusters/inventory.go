package clusters

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// maxInventory is how many Services or volumes of one cluster are looked at.
const maxInventory = 500

// Inspector is a Runner that can tell what a cluster's contents made in the account around it.
type Inspector interface {
	// Inspect lists it. The cluster must be ready.
	Inspect(ctx context.Context, id string) (Inventory, error)
}

// Inventory is what a cloud makes, and charges, because something in a cluster asks for it.
type Inventory struct {
	LoadBalancers []LoadBalancer
	Volumes       []Volume
}

// LoadBalancer is there for a Service.
type LoadBalancer struct {
	UID, Name, IP string
	// Service is the Service's namespace and name, "shop/web".
	Service string
	Ports   []Port
}

// Port is one that a load balancer listens on.
type Port struct {
	Protocol       string
	Port, NodePort int
}

// Volume is there for a claim.
type Volume struct {
	UID, Name string
	// Claim is the claim's namespace and name, "shop/data".
	Claim   string
	SizeGiB int
}

// Inspect implements Inspector.
func (p *Processes) Inspect(ctx context.Context, id string) (Inventory, error) {
	return inspect(ctx, p, id)
}

// Inspect implements Inspector.
func (c *Contexts) Inspect(ctx context.Context, id string) (Inventory, error) {
	return inspect(ctx, c, id)
}

func inspect(ctx context.Context, runner Runner, id string) (Inventory, error) {
	access, err := runner.Access(ctx, id)
	if err != nil {
		return Inventory{}, err
	}
	client, err := kubernetes.NewForConfig(&rest.Config{
		Host: access.Server, BearerToken: access.Token, Timeout: callTimeout,
		TLSClientConfig: rest.TLSClientConfig{CAData: access.CA, CertData: access.Certificate, KeyData: access.Key},
	})
	if err != nil {
		return Inventory{}, fmt.Errorf("make a client: %w", err)
	}
	services, err := client.CoreV1().Services("").List(ctx, metav1.ListOptions{Limit: maxInventory})
	if err != nil {
		return Inventory{}, fmt.Errorf("list the services: %w", err)
	}
	volumes, err := client.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{Limit: maxInventory})
	if err != nil {
		return Inventory{}, fmt.Errorf("list the volumes: %w", err)
	}
	return inventoryOf(services.Items, volumes.Items), nil
}

func inventoryOf(services []corev1.Service, volumes []corev1.PersistentVolume) Inventory {
	var found Inventory
	for _, s := range services {
		if s.Spec.Type == corev1.ServiceTypeLoadBalancer {
			found.LoadBalancers = append(found.LoadBalancers, balancerOf(s))
		}
	}
	for _, v := range volumes {
		size := v.Spec.Capacity[corev1.ResourceStorage]
		gib := (size.Value() + 1<<30 - 1) >> 30
		made := Volume{UID: string(v.UID), Name: v.Name, SizeGiB: int(gib)}
		if claim := v.Spec.ClaimRef; claim != nil {
			made.Claim = claim.Namespace + "/" + claim.Name
		}
		found.Volumes = append(found.Volumes, made)
	}
	return found
}

// balancerOf names a load balancer as Kubernetes' cloud controllers do.
func balancerOf(s corev1.Service) LoadBalancer {
	b := LoadBalancer{UID: string(s.UID), Name: "a" + strings.ReplaceAll(string(s.UID), "-", ""), Service: s.Namespace + "/" + s.Name}
	b.Name = b.Name[:min(len(b.Name), 32)]
	if len(s.Status.LoadBalancer.Ingress) > 0 {
		b.IP = s.Status.LoadBalancer.Ingress[0].IP
	}
	for _, p := range s.Spec.Ports {
		b.Ports = append(b.Ports, Port{Protocol: strings.ToLower(string(p.Protocol)), Port: int(p.Port), NodePort: int(p.NodePort)})
	}
	return b
}
