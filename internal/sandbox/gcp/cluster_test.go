package gcp_test

//lint:file-ignore SA1019 Fields that are deprecated are still what stock clients send and read.

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"cloud.google.com/go/container/apiv1/containerpb"

	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/gcp"
	"github.com/m3o/platform/internal/sandbox/world"
)

func TestClusterGoesThroughItsStates(t *testing.T) {
	p := open(t, t.TempDir(), 0.003, gcp.Config{})
	p.networks("c")
	p.account()
	begun, err := p.clusters.CreateCluster(p.ctx, clusterRequest("c", "c", poolRequest("b", 1, place+"-b"), poolRequest("c", 2, place+"-c")))
	must(t, err)
	if begun.OperationType != containerpb.Operation_CREATE_CLUSTER || begun.Status == containerpb.Operation_DONE ||
		!strings.Contains(begun.SelfLink, "/v1/projects/512904718346/locations/europe-west1/operations/operation-") || !strings.HasSuffix(begun.TargetLink, "/clusters/c") {
		t.Errorf("the operation is %+v", begun)
	}
	first, err := p.get("c")
	must(t, err)
	if first.Status != containerpb.Cluster_PROVISIONING || len(first.Id) != 64 || first.NodePools[0].Status != containerpb.NodePool_PROVISIONING {
		t.Errorf("at first the cluster is %+v", first)
	}
	_, err = p.clusters.CreateCluster(p.ctx, clusterRequest("c", "c", poolRequest("b", 1)))
	refused(t, err, http.StatusConflict, "alreadyExists", "Already exists: projects/m3o-sandbox/locations/europe-west1/clusters/c")
	_, err = p.delete("c")
	refused(t, err, http.StatusBadRequest, "failedPrecondition", "Cluster is running incompatible operation "+begun.Name)
	tells(t, err, "CLUSTER_ALREADY_HAS_OPERATION")
	ready := p.becomes("c", containerpb.Cluster_RUNNING)
	if over := p.over(begun, nil); over.Error != nil || over.EndTime == "" {
		t.Errorf("the operation ended as %+v", over)
	}
	if ready.Id != first.Id || ready.Endpoint != "127.0.0.1:6443" || ready.MasterAuth.ClusterCaCertificate == "" || ready.CurrentMasterVersion != "1.34.0-gke.1000000" ||
		ready.CurrentNodeCount != 3 || ready.IpAllocationPolicy.ClusterIpv4CidrBlock != "10.20.128.0/17" || ready.NetworkConfig.Network != "projects/m3o-sandbox/global/networks/c" {
		t.Errorf("the cluster is %+v", ready)
	}
	p.seesNodes()
	_, err = p.compute.Subnetworks.Delete("m3o-sandbox", place, "c").Do()
	refused(t, err, http.StatusBadRequest, "resourceInUseByAnotherResource", "/instances/gke-c-")
	over, err := p.delete("c")
	must(t, err)
	equal(t, "the state", p.becomes("c", containerpb.Cluster_STOPPING).NodePools[0].Status, containerpb.NodePool_STOPPING)
	equal(t, "the deletion's error", p.over(over, nil).Error, nil)
	_, err = p.get("c")
	refused(t, err, http.StatusNotFound, "notFound", "No cluster named 'c' in m3o-sandbox")
	p.done(p.compute.Subnetworks.Delete("m3o-sandbox", place, "c").Do())
	p.done(p.compute.Networks.Delete("m3o-sandbox", "c").Do())
	if left := p.balanced(); len(left) != 1 || left["service_account"] != 1 {
		t.Errorf("left: %v", left)
	}
}

// seesNodes looks at the nodes as compute shows them: instances, their groups, and GKE's firewall rules.
func (p *project) seesNodes() {
	p.t.Helper()
	instances, err := p.compute.Instances.AggregatedList("m3o-sandbox").Filter("labels.goog-k8s-cluster-name=c").Do()
	must(p.t, err)
	c := instances.Items["zones/europe-west1-c"].Instances
	if len(c) != 2 || !strings.HasPrefix(c[0].Name, "gke-c-c-") || c[0].Labels["team"] != "a" || c[0].NetworkInterfaces[0].NetworkIP == "" || c[0].Status != "RUNNING" {
		p.t.Errorf("the instances of a zone are %+v", c)
	}
	found, err := p.get("c")
	must(p.t, err)
	url := found.NodePools[1].InstanceGroupUrls[0]
	group, err := p.compute.InstanceGroupManagers.Get("m3o-sandbox", place+"-c", url[strings.LastIndexByte(url, '/')+1:]).Do()
	must(p.t, err)
	if group.TargetSize != 2 || group.CurrentActions.None != 2 || !group.Status.IsStable {
		p.t.Errorf("the group is %+v", group)
	}
	rules, err := p.compute.Firewalls.List("m3o-sandbox").Filter("name eq gke-c-.*").Do()
	must(p.t, err)
	equal(p.t, "firewall rules of GKE", len(rules.Items), 4)
}

func TestClusterRequestsAreJudged(t *testing.T) {
	p := newProject(t)
	p.networks("c")
	p.account()
	for words, change := range map[string]func(*containerpb.CreateClusterRequest){
		"Must be a match of regex":             func(r *containerpb.CreateClusterRequest) { r.Cluster.Name = strings.Repeat("c", 41) },
		`Master version "1.99" is unsupported`: func(r *containerpb.CreateClusterRequest) { r.Cluster.InitialClusterVersion = "1.99" },
		`Location "atlantis" does not exist`:   func(r *containerpb.CreateClusterRequest) { r.Parent = "projects/m3o-sandbox/locations/atlantis" },
		`has no network named "other"`:         func(r *containerpb.CreateClusterRequest) { r.Cluster.Network = "other" },
		`Pod secondary range "x" not found`: func(r *containerpb.CreateClusterRequest) {
			r.Cluster.IpAllocationPolicy.ClusterSecondaryRangeName = "x"
		},
		`Machine type with name "huge" does not exist`: func(r *containerpb.CreateClusterRequest) { r.Cluster.NodePools[0].Config.MachineType = "huge" },
		`Service account "nobody@" does not exist`:     func(r *containerpb.CreateClusterRequest) { r.Cluster.NodePools[0].Config.ServiceAccount = "nobody@" },
		`"us-east1-b" is not a zone of europe-west1`:   func(r *containerpb.CreateClusterRequest) { r.Cluster.NodePools[0].Locations = []string{"us-east1-b"} },
		"use m3o-sandbox.svc.id.goog": func(r *containerpb.CreateClusterRequest) {
			r.Cluster.WorkloadIdentityConfig = &containerpb.WorkloadIdentityConfig{WorkloadPool: "x"}
		},
		"Label values can be at most 63 characters":    func(r *containerpb.CreateClusterRequest) { r.Cluster.ResourceLabels["a"] = "with:colon" },
		"initial_node_count must be greater than zero": func(r *containerpb.CreateClusterRequest) { r.Cluster.NodePools = nil },
		`Invalid authorized network "10.0.0.1/8": its host`: func(r *containerpb.CreateClusterRequest) {
			r.Cluster.MasterAuthorizedNetworksConfig = &containerpb.MasterAuthorizedNetworksConfig{Enabled: true,
				CidrBlocks: []*containerpb.MasterAuthorizedNetworksConfig_CidrBlock{{CidrBlock: "10.0.0.1/8"}}}
		},
	} {
		request := clusterRequest("c", "c", poolRequest("b", 1))
		change(request)
		_, err := p.clusters.CreateCluster(p.ctx, request)
		reason := "badRequest"
		if strings.Contains(words, "Label values") {
			reason = "invalid"
		}
		refused(t, err, http.StatusBadRequest, reason, words)
	}
	_, err := p.clusters.CreateCluster(p.ctx, clusterRequest("c", "c", poolRequest("b", 13)))
	refused(t, err, http.StatusForbidden, "forbidden", `resource "CPUS": request requires '78.0' and is short '6.0'. project has a quota of '72.0' with '72.0' available`)
	equal(t, "made of all this", len(p.balanced()), 3) // network, subnetwork, service account
}

func TestPoolsComeGoAndChangeSize(t *testing.T) {
	p := newProject(t)
	p.running("c")
	at := parent + "/clusters/c"
	begun, err := p.clusters.CreateNodePool(p.ctx, &containerpb.CreateNodePoolRequest{Parent: at, NodePool: poolRequest("d", 1, place+"-d")})
	must(t, err)
	equal(t, "the cluster meanwhile", p.becomes("c", containerpb.Cluster_RECONCILING).NodePools[2].Status, containerpb.NodePool_PROVISIONING)
	_, err = p.clusters.DeleteNodePool(p.ctx, &containerpb.DeleteNodePoolRequest{Name: at + "/nodePools/b"})
	refused(t, err, http.StatusBadRequest, "failedPrecondition", "incompatible operation "+begun.Name)
	p.over(begun, nil)
	p.over(p.clusters.SetNodePoolSize(p.ctx, &containerpb.SetNodePoolSizeRequest{Name: at + "/nodePools/d", NodeCount: 3}))
	equal(t, "nodes after growing", p.becomes("c", containerpb.Cluster_RUNNING).CurrentNodeCount, 5)
	p.over(p.clusters.SetNodePoolSize(p.ctx, &containerpb.SetNodePoolSizeRequest{Name: at + "/nodePools/d", NodeCount: 1}))
	equal(t, "nodes after shrinking", p.becomes("c", containerpb.Cluster_RUNNING).CurrentNodeCount, 3)
	p.over(p.clusters.DeleteNodePool(p.ctx, &containerpb.DeleteNodePoolRequest{Name: at + "/nodePools/b"}))
	found := p.becomes("c", containerpb.Cluster_RUNNING)
	if len(found.NodePools) != 2 || found.CurrentNodeCount != 2 {
		t.Errorf("the cluster is %+v", found)
	}
	_, err = p.clusters.DeleteNodePool(p.ctx, &containerpb.DeleteNodePoolRequest{Name: at + "/nodePools/b"})
	refused(t, err, http.StatusNotFound, "notFound", "nodePools/b")
	p.balanced()
}

func TestAccessListAndVersionChangeOneByOne(t *testing.T) {
	p := newProject(t)
	p.running("c")
	name := parent + "/clusters/c"
	update := func(u *containerpb.ClusterUpdate) (*containerpb.Operation, error) {
		return p.clusters.UpdateCluster(p.ctx, &containerpb.UpdateClusterRequest{Name: name, Update: u})
	}
	list := &containerpb.MasterAuthorizedNetworksConfig{Enabled: true, CidrBlocks: []*containerpb.MasterAuthorizedNetworksConfig_CidrBlock{{CidrBlock: "198.51.100.0/24"}}}
	ends := &containerpb.ControlPlaneEndpointsConfig{IpEndpointsConfig: &containerpb.ControlPlaneEndpointsConfig_IPEndpointsConfig{AuthorizedNetworksConfig: list}}
	_, err := update(&containerpb.ClusterUpdate{DesiredControlPlaneEndpointsConfig: ends, DesiredMasterVersion: "1.35"})
	refused(t, err, http.StatusBadRequest, "badRequest", "Must specify exactly one update")
	p.over(update(&containerpb.ClusterUpdate{DesiredControlPlaneEndpointsConfig: ends}))
	found := p.becomes("c", containerpb.Cluster_RUNNING)
	for _, kept := range []*containerpb.MasterAuthorizedNetworksConfig{found.MasterAuthorizedNetworksConfig, found.ControlPlaneEndpointsConfig.IpEndpointsConfig.AuthorizedNetworksConfig} {
		if !kept.Enabled || len(kept.CidrBlocks) != 1 || kept.CidrBlocks[0].CidrBlock != "198.51.100.0/24" {
			t.Errorf("the list is %+v", kept)
		}
	}
	_, err = update(&containerpb.ClusterUpdate{DesiredMasterVersion: "1.37.0-gke.1000000"})
	refused(t, err, http.StatusBadRequest, "badRequest", "can be upgraded to one of [1.35]")
	p.over(update(&containerpb.ClusterUpdate{DesiredMasterVersion: "1.35.0-gke.1000000"}))
	equal(t, "the version", p.becomes("c", containerpb.Cluster_RUNNING).CurrentMasterVersion, "1.35.0-gke.1000000")
	_, err = update(&containerpb.ClusterUpdate{DesiredNodeVersion: "1.35"})
	refused(t, err, http.StatusBadRequest, "badRequest", "The sandbox cannot change desired_node_version")
}

func TestEnumsAreNamesOrNumbers(t *testing.T) {
	p := newProject(t)
	p.running("c")
	for query, want := range map[string]string{"": `"RUNNING"`, "?alt=json": `"RUNNING"`, "?%24alt=json%3Benum-encoding%3Dint": `2`} {
		status, text := p.ask("GET", "/v1/"+parent+"/clusters/c"+query, "")
		compact := strings.ReplaceAll(text, " ", "")
		if status != http.StatusOK || !strings.Contains(compact, `"status":`+want) {
			t.Errorf("%q: %d: %s", query, status, text)
		}
	}
}

func TestSickClusterIsDegraded(t *testing.T) {
	p := newProject(t)
	p.running("c")
	p.runner.SetReady("c", false)
	sick := p.becomes("c", containerpb.Cluster_DEGRADED)
	if !strings.Contains(sick.StatusMessage, "control plane is not responding") || len(sick.Conditions) != 1 {
		t.Errorf("the cluster is %+v", sick)
	}
	p.runner.SetReady("c", true)
	p.becomes("c", containerpb.Cluster_RUNNING)
}

func TestWhatAClusterMadeOutlivesIt(t *testing.T) {
	p := newProject(t)
	p.runner.Made(clusters.Inventory{
		LoadBalancers: []clusters.LoadBalancer{{UID: "u", Name: "a0123456789", IP: "127.0.0.9", Service: "shop/web", Ports: []clusters.Port{{Protocol: "tcp", Port: 80, NodePort: 30080}}}},
		Volumes:       []clusters.Volume{{UID: "v", Name: "pvc-1", Claim: "shop/data", SizeGiB: 5}}})
	c := p.running("c")
	eventually(t, "the disk is there", func() bool {
		disks, err := p.compute.Disks.AggregatedList("m3o-sandbox").Filter("labels.goog-k8s-cluster-name=c").Do()
		must(t, err)
		return len(disks.Items["zones/europe-west1-b"].Disks) == 1
	})
	p.over(p.delete("c"))
	rule, err := p.compute.ForwardingRules.Get("m3o-sandbox", place, "a0123456789").Do()
	must(t, err)
	if rule.IPAddress != "127.0.0.9" || rule.PortRange != "80-80" || rule.Description != `{"kubernetes.io/service-name":"shop/web"}` {
		t.Errorf("the rule is %+v", rule)
	}
	disk, err := p.compute.Disks.Get("m3o-sandbox", place+"-b", "pvc-1").Do()
	must(t, err)
	if disk.SizeGb != 5 || disk.Labels["goog-k8s-cluster-name"] != "c" || disk.Labels["team"] != "a" || !strings.Contains(disk.Description, "pd.csi.storage.gke.io") {
		t.Errorf("the disk is %+v", disk)
	}
	rules, err := p.compute.Firewalls.List("m3o-sandbox").Do()
	must(t, err)
	var names []string
	for _, r := range rules.Items {
		names = append(names, r.Name)
	}
	hash := c.Id[:8]
	if !slices.Equal(names, []string{"k8s-" + hash + "-node-http-hc", "k8s-fw-a0123456789"}) {
		t.Errorf("firewall rules: %v", names)
	}
	_, err = p.compute.TargetPools.Delete("m3o-sandbox", place, "a0123456789").Do()
	refused(t, err, http.StatusBadRequest, "resourceInUseByAnotherResource", "forwardingRules/a0123456789")
	p.done(p.compute.ForwardingRules.Delete("m3o-sandbox", place, "a0123456789").Do())
	p.done(p.compute.TargetPools.Delete("m3o-sandbox", place, "a0123456789").Do())
	p.done(p.compute.HttpHealthChecks.Delete("m3o-sandbox", "k8s-"+hash+"-node").Do())
	p.done(p.compute.Disks.Delete("m3o-sandbox", place+"-b", "pvc-1").Do())
	for _, name := range names {
		p.done(p.compute.Firewalls.Delete("m3o-sandbox", name).Do())
	}
	if left := p.balanced(); len(left) != 3 { // network, subnetwork, service account
		t.Errorf("left: %v", left)
	}
}

func TestStateOutlivesTheProcess(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir, 0.01, gcp.Config{})
	p.networks("c")
	p.account()
	begun, err := p.clusters.CreateCluster(p.ctx, clusterRequest("c", "c", poolRequest("b", 1, place+"-b")))
	must(t, err)
	p.stop()
	again := open(t, dir, 0.01, gcp.Config{})
	equal(t, "the error", again.over(begun, nil).Error, nil)
	again.becomes("c", containerpb.Cluster_RUNNING)
	left := again.balanced()
	if left["cluster"] != 1 || left["instance"] != 1 || left["network"] != 1 {
		t.Errorf("the ledger says that there are %v", left)
	}
	var made []world.Effect
	for _, e := range again.ledger() {
		if e.Resource == "cluster" && e.State == "running" {
			made = append(made, e)
		}
	}
	if len(made) != 1 || made[0].RequestedAt == nil || made[0].ReadyAt == nil || made[0].Operation != "container.projects.locations.clusters.create" {
		t.Errorf("the lines about a running cluster are %+v", made)
	}
}

func TestOldOperationsAreForgotten(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir, 0.001, gcp.Config{})
	o := p.done(p.compute.Networks.Insert("m3o-sandbox", network("n")).Do())
	p.stop()
	w, err := world.Open(dir, world.Clock{Scale: 0.001})
	must(t, err)
	must(t, w.Update(t.Context(), func(tx *world.Tx) error { // it ended long ago
		ref := world.Ref{Provider: gcp.Name, Kind: "operation", ID: o.Name}
		doc, err := world.Get[map[string]any](tx, ref)
		doc["ended_at"] = "2020-01-01T00:00:00Z"
		return errors.Join(err, tx.Put(ref, world.Meta{Name: o.Name, Parent: "done"}, doc))
	}))
	must(t, w.Close())
	p = open(t, dir, 0.001, gcp.Config{})
	eventually(t, "it is forgotten", func() bool {
		_, err := p.compute.GlobalOperations.Get("m3o-sandbox", o.Name).Do()
		return err != nil
	})
}

func TestNodesWithoutTheirRoleAreWarnedOf(t *testing.T) {
	p := newProject(t)
	p.running("c")
	warned := func() bool {
		t.Helper()
		found, err := p.get("c")
		must(t, err)
		return found.Status == containerpb.Cluster_RUNNING && len(found.Conditions) == 1 &&
			found.Conditions[0].Code == containerpb.StatusCondition_NODE_SERVICE_ACCOUNT_MISSING_PERMISSIONS && strings.Contains(found.Conditions[0].Message, nodesAccount)
	}
	eventually(t, "the cluster warns", warned)
	must(t, p.bind("roles/container.defaultNodeServiceAccount", "serviceAccount:"+nodesAccount))
	eventually(t, "it warns no more", func() bool { return !warned() })
}
