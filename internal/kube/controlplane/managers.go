package controlplane

import (
	"context"
	"fmt"

	kcmapp "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	kcmoptions "k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	schedulerapp "k8s.io/kubernetes/cmd/kube-scheduler/app"
	scheduleroptions "k8s.io/kubernetes/cmd/kube-scheduler/app/options"
)

// startControllers runs kube-controller-manager: one of it, so without leases.
func (c *ControlPlane) startControllers(ctx context.Context) error {
	kubeconfig, err := c.componentKubeconfig("controller-manager")
	if err != nil {
		return err
	}
	manager, err := kcmoptions.NewKubeControllerManagerOptions()
	if err != nil {
		return fmt.Errorf("prepare the controller manager: %w", err)
	}
	manager.ComponentGlobalsRegistry = c.registry
	known, disabled, aliases := kcmapp.KnownControllers(), kcmapp.ControllersDisabledByDefault(), kcmapp.ControllerAliases()
	flags := manager.Flags(known, disabled, aliases)
	if err := parse("kube-controller-manager", flags, c.controllerArguments(kubeconfig)); err != nil {
		return err
	}
	manager.ParsedFlags = &flags
	config, err := manager.Config(ctx, known, disabled, aliases)
	if err != nil {
		return fmt.Errorf("prepare the controller manager: %w", err)
	}
	c.run(ctx, &c.managers, "kube-controller-manager", func() error { return kcmapp.Run(ctx, config.Complete()) })
	return nil
}

func (c *ControlPlane) controllerArguments(kubeconfig string) []string {
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--leader-elect=false",
		"--secure-port=0",
		"--use-service-account-credentials=true",
		"--root-ca-file=" + c.pki.cert("ca"),
		"--service-account-private-key-file=" + c.pki.key("service-account"),
		"--cluster-signing-cert-file=" + c.pki.cert("ca"), "--cluster-signing-key-file=" + c.pki.key("ca"),
		"--allocate-node-cidrs=false",
		// A dead node is noticed in 17 s instead of 50 s.
		"--node-monitor-period=2s", "--node-monitor-grace-period=16s",
		"--controller-start-interval=0s",
		"--kube-api-qps=200", "--kube-api-burst=400",
	}
}

func (c *ControlPlane) startScheduler(ctx context.Context) error {
	kubeconfig, err := c.componentKubeconfig("scheduler")
	if err != nil {
		return err
	}
	scheduler := scheduleroptions.NewOptions()
	scheduler.ComponentGlobalsRegistry = c.registry
	args := []string{
		"--kubeconfig=" + kubeconfig,
		"--leader-elect=false",
		"--secure-port=0",
		"--kube-api-qps=200", "--kube-api-burst=400",
	}
	if err := parse("kube-scheduler", *scheduler.Flags, args); err != nil {
		return err
	}
	config, instance, err := schedulerapp.Setup(ctx, scheduler)
	if err != nil {
		return fmt.Errorf("prepare the scheduler: %w", err)
	}
	c.run(ctx, &c.managers, "kube-scheduler", func() error { return schedulerapp.Run(ctx, config, instance) })
	return nil
}
