package event

// Turn is something that needs looking after for a while. Begins is the kind of the event that tells it, once, when it has become true,
// and Ends that of the one that tells that it is over. Both have the same project, subject and region.
type Turn struct{ Begins, Ends string }

// The turns. What has a status of its own (a region, a release, a service) tells that instead: "region.failed", "release.ready".
var (
	RegionReach = Turn{"region.unreachable", "region.reachable"}      // its gateway answers from outside
	RegionsSeen = Turn{"regions.unseen", "regions.seen"}              // any region's does
	ServiceWell = Turn{"service.degraded", "service.recovered"}       // in one region
	RegionDrift = Turn{"region.drifted", "region.converged"}          // it is as it was applied
	QuotaNear   = Turn{"quota.near", "quota.clear"}                   // of a region's cloud account
	TokenEnds   = Turn{"token.expiring", "token.settled"}             // one that is in use
	CertEnds    = Turn{"certificate.expiring", "certificate.renewed"} // that a process of the platform shows
	QueueServed = Turn{"queue.unserved", "queue.served"}              // by any worker
	QueueLag    = Turn{"queue.lagging", "queue.current"}              // what waits there is older than it should be
	RelayMoves  = Turn{"relay.stuck", "relay.moving"}                 // signals come to the alerts' workflows
	PagesArrive = Turn{"pages.failing", "pages.arriving"}             // by one channel
)

// Turns lists them.
var Turns = []Turn{RegionReach, RegionsSeen, ServiceWell, RegionDrift, QuotaNear, TokenEnds, CertEnds, QueueServed, QueueLag, RelayMoves, PagesArrive}
