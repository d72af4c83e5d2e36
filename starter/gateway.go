package main

import (
	"net/netip"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/gateway"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

func gatewayCommand() *cobra.Command {
	c := gateway.Config{}
	var proxies []string
	cmd := &cobra.Command{Use: "gateway", Short: "Serve a region's entrypoint", GroupID: groupServe, Args: takes(0, 0),
		Long: "Serve a region's entrypoint inside its cluster: /<service>/<path> goes to a ready instance of the service, found through etcd.\n\n" +
			"Settings come from flags and from the environment:\n" + config.Describe(config.Everything),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.Region == "" || len(c.Etcd) == 0 {
				return misuse("--region and --etcd must be set: the region's full name, and where its etcd is")
			}
			_, err := region.ParseKey(c.Region)
			if err != nil {
				return misuse("--region: %v", err)
			}
			if c.TrustedProxies, err = networks("trusted-proxy", proxies); err != nil {
				return err
			}
			s := config.Load().Of()
			signals, err := openSignalsIn(cmd.Context(), s, "gateway", c.Region)
			if err != nil {
				return err
			}
			defer closeSignals(cmd.Context(), signals)
			klog.SetSlogLogger(signals.Logger) // client-go warns there
			c.Logger, c.Metrics = signals.Logger, signals.Registry
			if s.Endpoint != "" { // without one, spans would only cost every request
				c.Tracer = signals.Traces()
			}
			return gateway.Run(cmd.Context(), c)
		}}
	flags := cmd.Flags()
	flags.StringVar(&c.Listen, "listen", ":8080", "address for requests")
	flags.StringVar(&c.MetricsListen, "metrics-listen", ":9090", "address for metrics; empty: none")
	flags.StringVar(&c.Region, "region", "", "full name of the region, like micro/lon1")
	flags.StringVar(&c.Domain, "domain", "", "domain of the platform")
	flags.StringSliceVar(&c.Etcd, "etcd", nil, "endpoints of etcd")
	flags.StringVar(&c.Keys, "keys", "", "file with the public keys that tickets are checked with")
	flags.Int64Var(&c.DefaultMaxBody, "default-max-body", gateway.DefaultMaxBody, "bytes of a request's body, at most, for services that do not say")
	flags.Int64Var(&c.MaxBody, "max-body", release.LargestBody, "the most that a service's own limit may be")
	flags.DurationVar(&c.DefaultTimeout, "default-timeout", gateway.DefaultTimeout, "how long an exchange may stand still, for services that do not say")
	flags.DurationVar(&c.MaxTimeout, "max-timeout", time.Duration(release.MaxTimeout), "the most that a service's own limit may be")
	flags.StringSliceVar(&proxies, "trusted-proxy", nil, "network of proxies whose X-Forwarded-For, -Host and -Proto are believed, such as 10.0.0.0/8; may be repeated (default: nobody's are)")
	return cmd
}

// networks reads a flag's networks in CIDR form.
func networks(flag string, given []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range given {
		prefix, err := netip.ParsePrefix(text)
		if err != nil || prefix.Addr().Is4In6() { // callers' addresses are never of that form
			return nil, misuse("--%s: %q is not a network, such as 10.0.0.0/8 or 2001:db8::/32", flag, text)
		}
		all = append(all, prefix.Masked())
	}
	return all, nil
}
