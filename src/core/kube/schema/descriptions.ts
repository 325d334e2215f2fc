// What `kubectl explain` says of kinds and of the fields that people ask for: our own words. A line is a type or field, then its text.

const TEXTS = `
Kind.apiVersion The group and version of this form of the object, such as v1 or apps/v1.
Kind.kind The kind of object this is, in CamelCase.
Kind.metadata The object's name, labels and further data that every object has.
apps.v1.ControllerRevision A saved state of a DaemonSet or StatefulSet, to go back to.
apps.v1.DaemonSet Runs one copy of a pod on every node, or on the nodes that its template selects.
apps.v1.DaemonSetSpec.selector Which pods are this set's own. It must match the template's labels and cannot be changed.
apps.v1.DaemonSetSpec.template The pod to run on each node.
apps.v1.DaemonSetSpec.updateStrategy How pods are replaced after a change of the template.
apps.v1.Deployment Keeps a number of pods of one template running, and replaces them step by step when the template changes.
apps.v1.Deployment.spec What should run.
apps.v1.Deployment.status What was last seen to run.
apps.v1.DeploymentSpec What a Deployment should run.
apps.v1.DeploymentSpec.minReadySeconds How long a new pod must be ready before it counts as available. Default: 0.
apps.v1.DeploymentSpec.paused True: changes of the template do not start a rollout.
apps.v1.DeploymentSpec.progressDeadlineSeconds A rollout that makes no progress for so long counts as failed. Default: 600.
apps.v1.DeploymentSpec.replicas How many pods should run. Default: 1.
apps.v1.DeploymentSpec.revisionHistoryLimit How many old ReplicaSets are kept to go back to. Default: 10.
apps.v1.DeploymentSpec.selector Which pods are this Deployment's own. It must match the template's labels and cannot be changed.
apps.v1.DeploymentSpec.strategy How old pods are replaced by new ones.
apps.v1.DeploymentSpec.template The pod to run.
apps.v1.DeploymentStatus What was last seen of a Deployment's pods.
apps.v1.DeploymentStrategy.rollingUpdate How many pods may be missing or too many during a RollingUpdate.
apps.v1.DeploymentStrategy.type RollingUpdate (default) or Recreate.
apps.v1.ReplicaSet Keeps a number of pods of one template running. Usually made by a Deployment.
apps.v1.ReplicaSetSpec.replicas How many pods should run. Default: 1.
apps.v1.RollingUpdateDeployment.maxSurge How many pods may run beyond the wanted number, as number or percentage. Default: 25%.
apps.v1.RollingUpdateDeployment.maxUnavailable How many of the wanted pods may be unavailable, as number or percentage. Default: 25%.
apps.v1.StatefulSet Runs pods with lasting names, addresses in DNS and volumes.
authentication.v1.SelfSubjectReview Asks who the API server takes the caller for.
authentication.v1.TokenRequest Asks for a token of a ServiceAccount.
authentication.v1.TokenReview Asks whose token this is.
authorization.v1.SelfSubjectAccessReview Asks whether the caller may do something.
authorization.v1.SelfSubjectRulesReview Asks what the caller may do in a namespace.
authorization.v1.SubjectAccessReview Asks whether a user may do something.
autoscaling.v1.Scale The number of replicas of a workload, whatever its kind.
batch.v1.CronJob Starts Jobs at the times of a schedule.
batch.v1.CronJobSpec.schedule When to start, as cron writes it.
batch.v1.Job Runs pods until enough of them have succeeded.
batch.v1.JobSpec.backoffLimit How many failures are retried. Default: 6.
batch.v1.JobSpec.completions How many pods must succeed.
batch.v1.JobSpec.parallelism How many pods may run at a time.
coordination.v1.Lease Says who holds something, such as leadership, and until when.
core.v1.Binding Puts a pod on a node.
core.v1.ConfigMap Configuration as keys and texts, for pods to read.
core.v1.ConfigMap.binaryData Values that are not UTF-8, in base64.
core.v1.ConfigMap.data Keys and their texts.
core.v1.ConfigMap.immutable True: the data cannot be changed any more.
core.v1.Container One program of a pod.
core.v1.Container.args Arguments; the image's CMD when absent. $(NAME) stands for an environment variable.
core.v1.Container.command The program to run, without a shell; the image's ENTRYPOINT when absent.
core.v1.Container.env Environment variables.
core.v1.Container.envFrom ConfigMaps and Secrets whose keys all become environment variables.
core.v1.Container.image The image to run.
core.v1.Container.imagePullPolicy Always, IfNotPresent or Never. Default: Always for the tag latest, else IfNotPresent.
core.v1.Container.lifecycle What to run after the start and before the end.
core.v1.Container.livenessProbe Tells whether the container must be restarted.
core.v1.Container.name The container's name, unique in its pod: a DNS label.
core.v1.Container.ports Ports that the container listens on. Others are reachable too: this gives them names and host ports.
core.v1.Container.readinessProbe Tells whether Services may send traffic to the pod.
core.v1.Container.resources What the container needs, and what it may use at most.
core.v1.Container.restartPolicy For init containers: Always makes one that keeps running beside the others.
core.v1.Container.securityContext User, capabilities and privileges of the container.
core.v1.Container.startupProbe Until it succeeds, the other probes wait.
core.v1.Container.stdin True: the container's standard input stays open.
core.v1.Container.terminationMessagePath The file whose text becomes the container's last message. Default: /dev/termination-log.
core.v1.Container.tty True: the container gets a terminal. Needs stdin.
core.v1.Container.volumeMounts Where the pod's volumes appear in the container.
core.v1.Container.workingDir The directory that the program starts in.
core.v1.ContainerPort One port of a container.
core.v1.ContainerPort.containerPort The port in the pod, 1 to 65535.
core.v1.ContainerPort.hostIP The node's address that hostPort is open on. Default: all.
core.v1.ContainerPort.hostPort A port of the node that leads to the container.
core.v1.ContainerPort.name A name that Services can use, unique in the pod.
core.v1.ContainerPort.protocol TCP (default), UDP or SCTP.
core.v1.Endpoints Addresses behind a Service, in the old form: EndpointSlice replaces it.
core.v1.EnvVar.name The variable's name.
core.v1.EnvVar.value Its value. $(NAME) stands for a variable defined before.
core.v1.EnvVar.valueFrom Takes the value from elsewhere.
core.v1.Event A report of something that happened to an object.
core.v1.LimitRange Limits and defaults of resources for each pod or container of a namespace.
core.v1.Namespace A scope for names: objects in different namespaces may share a name.
core.v1.Node A machine that runs pods.
core.v1.Node.spec What is wanted of the node.
core.v1.Node.status What the node reports.
core.v1.NodeSpec What is wanted of a node.
core.v1.NodeSpec.podCIDR The address range of this node's pods.
core.v1.NodeSpec.podCIDRs The address ranges of this node's pods, at most one per family; the first is podCIDR.
core.v1.NodeSpec.providerID The machine's name at its provider.
core.v1.NodeSpec.taints Keep pods away that do not tolerate them.
core.v1.NodeSpec.unschedulable True: no new pods come here (kubectl cordon).
core.v1.NodeStatus What a node reports of itself.
core.v1.NodeStatus.addresses Where the node can be reached.
core.v1.NodeStatus.allocatable What pods can use of the capacity.
core.v1.NodeStatus.capacity What the machine has.
core.v1.NodeStatus.conditions What state the node is in: Ready, MemoryPressure and others.
core.v1.NodeStatus.nodeInfo Versions and identity of the machine.
core.v1.PersistentVolume Storage of the cluster that a claim can be bound to.
core.v1.PersistentVolumeClaim A request for storage.
core.v1.Pod Containers that run together on one node and share their network.
core.v1.Pod.spec What should run, and how.
core.v1.Pod.status What was last seen to run.
core.v1.PodSpec What a pod should be.
core.v1.PodSpec.activeDeadlineSeconds The pod is ended when it has been on its node for so long.
core.v1.PodSpec.affinity Which nodes the pod prefers or needs, by their labels and by the pods that they run.
core.v1.PodSpec.automountServiceAccountToken False: no token for the API is mounted.
core.v1.PodSpec.containers The containers that run side by side, at least one.
core.v1.PodSpec.dnsConfig Name servers, search domains and options to add to those of dnsPolicy.
core.v1.PodSpec.dnsPolicy ClusterFirst (default), ClusterFirstWithHostNet, Default or None.
core.v1.PodSpec.enableServiceLinks False: no environment variables for Services. Default: true.
core.v1.PodSpec.ephemeralContainers Containers that were added to the running pod for debugging.
core.v1.PodSpec.hostAliases Further lines of /etc/hosts.
core.v1.PodSpec.hostNetwork True: the pod uses its node's network.
core.v1.PodSpec.hostname The pod's host name. Default: its name.
core.v1.PodSpec.initContainers Containers that run before the others, one after the other.
core.v1.PodSpec.nodeName The node that the pod is on; set by the scheduler.
core.v1.PodSpec.nodeSelector Labels that the node must have.
core.v1.PodSpec.priorityClassName How important the pod is.
core.v1.PodSpec.restartPolicy Always (default), OnFailure or Never.
core.v1.PodSpec.schedulerName Who chooses the node. Default: default-scheduler.
core.v1.PodSpec.securityContext User, groups and sysctls of all containers.
core.v1.PodSpec.serviceAccountName The ServiceAccount that the pod acts as.
core.v1.PodSpec.shareProcessNamespace True: containers see each other's processes.
core.v1.PodSpec.subdomain With hostname: the pod's name in DNS below a headless Service of this name.
core.v1.PodSpec.terminationGracePeriodSeconds How long the pod may take to end by itself. Default: 30.
core.v1.PodSpec.tolerations Taints of nodes that do not keep this pod away.
core.v1.PodSpec.topologySpreadConstraints How pods are spread over nodes, zones and the like.
core.v1.PodSpec.volumes Volumes that containers can mount.
core.v1.PodStatus What was last seen of a pod.
core.v1.PodStatus.conditions What has been reached: PodScheduled, Initialized, ContainersReady, Ready.
core.v1.PodStatus.containerStatuses The state of each container.
core.v1.PodStatus.hostIP The address of the pod's node.
core.v1.PodStatus.phase Pending, Running, Succeeded, Failed or Unknown.
core.v1.PodStatus.podIP The pod's address; the first of podIPs.
core.v1.PodStatus.podIPs The pod's addresses, at most one per family.
core.v1.PodTemplateSpec A pod as a workload makes it.
core.v1.Probe A check of a container's health.
core.v1.Probe.failureThreshold So many failures in a row count as one. Default: 3.
core.v1.Probe.initialDelaySeconds How long after the start probing begins.
core.v1.Probe.periodSeconds How often to probe. Default: 10.
core.v1.Probe.successThreshold So many successes in a row count as one. Default: 1.
core.v1.Probe.timeoutSeconds How long an answer may take. Default: 1.
core.v1.ReplicationController Keeps a number of pods running. Deployment replaces it.
core.v1.ResourceQuota Limits what a namespace uses in sum.
core.v1.Secret Confidential data as keys and bytes, for pods to read.
core.v1.Secret.data Keys and their values, in base64.
core.v1.Secret.stringData Keys and their values as text, for writing only: they are kept in data.
core.v1.Secret.type What the secret is for. Default: Opaque.
core.v1.Service A lasting name and address for a changing set of pods.
core.v1.Service.spec Which pods, at which ports, and how they are reached.
core.v1.Service.status Addresses of load balancers.
core.v1.ServiceAccount An identity for pods.
core.v1.ServicePort.appProtocol What is spoken on the port, for those who care.
core.v1.ServicePort.name A name, needed when there are several ports.
core.v1.ServicePort.nodePort The port on every node, for type NodePort and LoadBalancer. Chosen from 30000-32767 when absent.
core.v1.ServicePort.port The port of the Service, 1 to 65535.
core.v1.ServicePort.protocol TCP (default), UDP or SCTP.
core.v1.ServicePort.targetPort The port of the pods, by number or by the name that containers give it. Default: port.
core.v1.ServiceSpec Which pods a Service stands for, and how they are reached.
core.v1.ServiceSpec.allocateLoadBalancerNodePorts False: a LoadBalancer Service gets no node ports by itself.
core.v1.ServiceSpec.clusterIP The address inside of the cluster; None for a headless Service. The first of clusterIPs.
core.v1.ServiceSpec.clusterIPs The addresses inside of the cluster, at most one per family.
core.v1.ServiceSpec.externalIPs Further addresses whose traffic nodes accept for this Service.
core.v1.ServiceSpec.externalName The name that DNS answers with, for type ExternalName.
core.v1.ServiceSpec.externalTrafficPolicy Cluster (default), or Local: traffic from outside stays on its node and keeps its source address.
core.v1.ServiceSpec.healthCheckNodePort The node port where load balancers ask whether a node has endpoints.
core.v1.ServiceSpec.internalTrafficPolicy Cluster (default), or Local: traffic from inside stays on its node.
core.v1.ServiceSpec.ipFamilies IPv4 and IPv6, in order of preference.
core.v1.ServiceSpec.ipFamilyPolicy SingleStack, PreferDualStack or RequireDualStack.
core.v1.ServiceSpec.loadBalancerSourceRanges Who may use the load balancer, as CIDRs.
core.v1.ServiceSpec.ports The ports of the Service.
core.v1.ServiceSpec.publishNotReadyAddresses True: pods count as endpoints before they are ready.
core.v1.ServiceSpec.selector Labels of the pods. Without one, somebody else must write EndpointSlices.
core.v1.ServiceSpec.sessionAffinity None (default), or ClientIP: one client's connections go to one pod.
core.v1.ServiceSpec.sessionAffinityConfig How long affinity lasts.
core.v1.ServiceSpec.trafficDistribution PreferClose: endpoints of the same zone come first.
core.v1.ServiceSpec.type ClusterIP (default), NodePort, LoadBalancer or ExternalName.
discovery.v1.Endpoint One backend of a Service.
discovery.v1.Endpoint.addresses The backend's addresses, of the slice's addressType.
discovery.v1.Endpoint.conditions Whether the backend is ready, serving, terminating.
discovery.v1.Endpoint.nodeName The node that it is on.
discovery.v1.Endpoint.targetRef The object behind it, usually a Pod.
discovery.v1.Endpoint.zone The zone that it is in.
discovery.v1.EndpointConditions.ready Whether new connections may go there. Absent counts as true.
discovery.v1.EndpointConditions.serving As ready, but also while terminating. Absent counts as ready.
discovery.v1.EndpointConditions.terminating Whether the backend is about to end.
discovery.v1.EndpointSlice A part of the endpoints of a Service; the label kubernetes.io/service-name names it.
discovery.v1.EndpointSlice.addressType IPv4, IPv6 or FQDN. Cannot be changed.
discovery.v1.EndpointSlice.endpoints The backends, at most 1000.
discovery.v1.EndpointSlice.ports The ports that each of them serves, at most 100.
events.v1.Event A report of something that happened to an object.
meta.v1.LabelSelector Chooses objects by their labels. An empty one chooses all.
meta.v1.LabelSelector.matchExpressions Requirements that must all be met.
meta.v1.LabelSelector.matchLabels Labels that must all be there.
meta.v1.ObjectMeta What every stored object has.
meta.v1.ObjectMeta.annotations Further data, for tools.
meta.v1.ObjectMeta.creationTimestamp When the object was made.
meta.v1.ObjectMeta.deletionTimestamp When the object goes away, once its deletion was asked for.
meta.v1.ObjectMeta.finalizers Who must agree before the object goes away.
meta.v1.ObjectMeta.generateName The beginning of a name that the server completes.
meta.v1.ObjectMeta.generation Counts the changes of what is wanted.
meta.v1.ObjectMeta.labels Keys and values that objects are chosen by.
meta.v1.ObjectMeta.managedFields Who set which field.
meta.v1.ObjectMeta.name The object's name, unique among its kind in its namespace.
meta.v1.ObjectMeta.namespace The namespace that the object is in.
meta.v1.ObjectMeta.ownerReferences The objects that this one depends on: it goes when they are gone.
meta.v1.ObjectMeta.resourceVersion Changes with every write; a write that names an old one is refused.
meta.v1.ObjectMeta.uid Tells this object from others that had its name before.
networking.v1.IPAddress An address that is taken, by the object that has it.
networking.v1.IPBlock.cidr The range, such as 10.0.0.0/8.
networking.v1.IPBlock.except Ranges within cidr that are left out.
networking.v1.Ingress Rules for HTTP traffic from outside to Services.
networking.v1.IngressClass Names the controller that serves Ingresses of this class.
networking.v1.NetworkPolicy Says which traffic pods may receive and send.
networking.v1.NetworkPolicy.spec Which pods, and which traffic.
networking.v1.NetworkPolicyEgressRule Allows traffic that goes to one of \`to\` at one of \`ports\`.
networking.v1.NetworkPolicyIngressRule Allows traffic that comes from one of \`from\` at one of \`ports\`.
networking.v1.NetworkPolicyPeer.ipBlock A range of addresses.
networking.v1.NetworkPolicyPeer.namespaceSelector Pods of namespaces with these labels.
networking.v1.NetworkPolicyPeer.podSelector Pods with these labels, of the policy's namespace unless namespaceSelector says otherwise.
networking.v1.NetworkPolicyPort.endPort The last port of a range that begins at port.
networking.v1.NetworkPolicyPort.port A port by number or name. Absent: all.
networking.v1.NetworkPolicyPort.protocol TCP (default), UDP or SCTP.
networking.v1.NetworkPolicySpec Which pods a policy is for, and which traffic they may have.
networking.v1.NetworkPolicySpec.egress What the pods may send. Empty: nothing, when policyTypes has Egress.
networking.v1.NetworkPolicySpec.ingress What the pods may receive. Empty: nothing, when policyTypes has Ingress.
networking.v1.NetworkPolicySpec.podSelector The pods that the policy is for; empty for all of the namespace.
networking.v1.NetworkPolicySpec.policyTypes Ingress, Egress or both. Default: Ingress, and Egress when there are egress rules.
networking.v1.ServiceCIDR A range that Services get their cluster IPs from.
policy.v1.Eviction Asks to end a pod, where its disruption budget allows that.
policy.v1alpha2.ClusterNetworkPolicy Accepts, denies or passes on traffic of pods of the whole cluster, before or after their NetworkPolicies.
policy.v1alpha2.ClusterNetworkPolicy.spec Which pods, which traffic, and when it is asked.
policy.v1alpha2.ClusterNetworkPolicy.status What implementations report.
policy.v1alpha2.ClusterNetworkPolicyEgressPeer Where traffic goes: exactly one of the fields.
policy.v1alpha2.ClusterNetworkPolicyEgressPeer.domainNames Names such as example.com or *.example.com, in Accept rules only. Not enforced here: they match nothing.
policy.v1alpha2.ClusterNetworkPolicyEgressPeer.namespaces All pods of namespaces with these labels, but those with hostNetwork.
policy.v1alpha2.ClusterNetworkPolicyEgressPeer.networks Up to 25 ranges of addresses, such as 10.0.0.0/8; those of pods and nodes too.
policy.v1alpha2.ClusterNetworkPolicyEgressPeer.nodes All addresses of nodes with these labels; empty for all nodes. A pod always reaches its own node.
policy.v1alpha2.ClusterNetworkPolicyEgressPeer.pods Pods by their labels and those of their namespaces, but those with hostNetwork.
policy.v1alpha2.ClusterNetworkPolicyEgressRule What is done with traffic that goes to one of \`to\` by one of \`protocols\`.
policy.v1alpha2.ClusterNetworkPolicyEgressRule.action Accept, Deny (silently), or Pass: on to the next tier. What is accepted still needs the destination's consent.
policy.v1alpha2.ClusterNetworkPolicyEgressRule.name What the rule is called, up to 100 characters.
policy.v1alpha2.ClusterNetworkPolicyEgressRule.protocols Protocols and ports, up to 25. Absent: all traffic, ICMP too.
policy.v1alpha2.ClusterNetworkPolicyEgressRule.to 1 to 25 destinations; one of them must match.
policy.v1alpha2.ClusterNetworkPolicyIngressPeer Where traffic comes from: exactly one of the fields.
policy.v1alpha2.ClusterNetworkPolicyIngressPeer.namespaces All pods of namespaces with these labels, but those with hostNetwork.
policy.v1alpha2.ClusterNetworkPolicyIngressPeer.pods Pods by their labels and those of their namespaces, but those with hostNetwork.
policy.v1alpha2.ClusterNetworkPolicyIngressRule What is done with traffic that comes from one of \`from\` by one of \`protocols\`.
policy.v1alpha2.ClusterNetworkPolicyIngressRule.action Accept, Deny (silently), or Pass: on to the next tier.
policy.v1alpha2.ClusterNetworkPolicyIngressRule.from 1 to 25 sources; one of them must match.
policy.v1alpha2.ClusterNetworkPolicyIngressRule.name What the rule is called, up to 100 characters.
policy.v1alpha2.ClusterNetworkPolicyIngressRule.protocols Protocols and ports, up to 25. Absent: all traffic, ICMP too.
policy.v1alpha2.ClusterNetworkPolicyProtocol A protocol and port: exactly one of the fields.
policy.v1alpha2.ClusterNetworkPolicyProtocol.destinationNamedPort The name of a port of the destination pod, whatever its protocol.
policy.v1alpha2.ClusterNetworkPolicySpec Which pods a policy is for, which traffic, and when it is asked.
policy.v1alpha2.ClusterNetworkPolicySpec.egress What is done with traffic from the pods, up to 25 rules: the first that matches counts.
policy.v1alpha2.ClusterNetworkPolicySpec.ingress What is done with traffic to the pods, up to 25 rules: the first that matches counts.
policy.v1alpha2.ClusterNetworkPolicySpec.priority 0 to 1000; in its tier the policy with the lower one is asked first, of two with the same one that whose name sorts first.
policy.v1alpha2.ClusterNetworkPolicySpec.subject The pods that the policy is for: exactly one of the fields. Pods with hostNetwork are never meant.
policy.v1alpha2.ClusterNetworkPolicySpec.tier Admin: asked before all NetworkPolicies. Baseline: asked where no NetworkPolicy isolates the pod.
policy.v1alpha2.ClusterNetworkPolicySubject.namespaces All pods of namespaces with these labels; empty for all.
policy.v1alpha2.ClusterNetworkPolicySubject.pods Pods by their labels and those of their namespaces.
policy.v1alpha2.NamespacedPod.namespaceSelector Namespaces with these labels; empty or absent for all.
policy.v1alpha2.NamespacedPod.podSelector Pods with these labels; empty for all.
policy.v1alpha2.Port A port or a range: exactly one of the fields.
policy.v1alpha2.Port.number A port, 1 to 65535.
policy.v1alpha2.Port.range Ports from start to end, both included.
`;

let texts: ReadonlyMap<string, string> | undefined;

/** The text of `core.v1.Pod` or `core.v1.Pod.spec`; undefined where we have none. */
export function describe(name: string): string | undefined {
  texts ??= new Map(
    TEXTS.trim()
      .split("\n")
      .map((line) => [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)]),
  );
  return texts.get(name);
}

/** The types and fields that have a text: for the test that holds them against the schema. */
export function described(): string[] {
  describe("");
  return [...(texts?.keys() ?? [])];
}
