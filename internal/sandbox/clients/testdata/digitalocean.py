# Lists an account by python3-digitalocean, one line a thing. A load balancer is seen a few seconds after its Service.
import time

import digitalocean

manager = digitalocean.Manager()
print("account", manager.get_account().status)
for region in manager.get_all_regions():
    print("region", region.slug, region.available, len(region.sizes))
for size in manager.get_all_sizes():
    print("size", size.slug, size.memory, size.vcpus, size.price_monthly)
for droplet in manager.get_all_droplets():
    print("droplet", droplet.status, droplet.size_slug, droplet.name, droplet.private_ip_address)
for vpc in manager.get_all_vpcs():
    print("vpc", vpc.name, vpc.ip_range, vpc.region)
deadline = time.time() + 60
while not (balancers := manager.get_all_load_balancers()) or balancers[0].status != "active":
    if time.time() > deadline:
        raise SystemExit("there is no load balancer")
    time.sleep(1)
for balancer in balancers:
    balancer.load()
    rule = balancer.forwarding_rules[0]
    print("load balancer", balancer.status, rule.entry_protocol, rule.entry_port, balancer.health_check.port, balancer.sticky_sessions.type)
for volume in manager.get_all_volumes():
    print("volume", volume.name, volume.size_gigabytes)
for cluster in manager.get_data("kubernetes/clusters")["kubernetes_clusters"]:
    print("cluster", cluster["name"], cluster["status"]["state"])
