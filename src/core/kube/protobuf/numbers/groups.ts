// Field numbers of the messages of the other groups; the notation is that of core.ts. Facts from the generated.proto files under
// kubernetes/kubernetes staging/src/k8s.io/api (apps, batch, coordination, discovery, events, networking, autoscaling, policy,
// authentication, authorization: v1) and staging/src/k8s.io/apimachinery/pkg/{apis/meta/v1,runtime}.
export const APPS_NUMBERS: string = `
ControllerRevision metadata=1 data=2 revision=3
ControllerRevisionList metadata=1 items=2
DaemonSet metadata=1 spec=2 status=3
DaemonSetCondition type=1 status=2 lastTransitionTime=3 reason=4 message=5
DaemonSetList metadata=1 items=2
DaemonSetSpec selector=1 template=2 updateStrategy=3 minReadySeconds=4 revisionHistoryLimit=6
DaemonSetStatus currentNumberScheduled=1 numberMisscheduled=2 desiredNumberScheduled=3 numberReady=4 observedGeneration=5
  updatedNumberScheduled=6 numberAvailable=7 numberUnavailable=8 collisionCount=9 conditions=10
DaemonSetUpdateStrategy type=1 rollingUpdate=2
Deployment metadata=1 spec=2 status=3
DeploymentCondition type=1 status=2 reason=4 message=5 lastUpdateTime=6 lastTransitionTime=7
DeploymentList metadata=1 items=2
DeploymentSpec replicas=1 selector=2 template=3 strategy=4 minReadySeconds=5 revisionHistoryLimit=6 paused=7
  progressDeadlineSeconds=9
DeploymentStatus observedGeneration=1 replicas=2 updatedReplicas=3 availableReplicas=4 unavailableReplicas=5 conditions=6
  readyReplicas=7 collisionCount=8 terminatingReplicas=9
DeploymentStrategy type=1 rollingUpdate=2
ReplicaSet metadata=1 spec=2 status=3
ReplicaSetCondition type=1 status=2 lastTransitionTime=3 reason=4 message=5
ReplicaSetList metadata=1 items=2
ReplicaSetSpec replicas=1 selector=2 template=3 minReadySeconds=4
ReplicaSetStatus replicas=1 fullyLabeledReplicas=2 observedGeneration=3 readyReplicas=4 availableReplicas=5 conditions=6
  terminatingReplicas=7
RollingUpdateDaemonSet maxUnavailable=1 maxSurge=2
RollingUpdateDeployment maxUnavailable=1 maxSurge=2
RollingUpdateStatefulSetStrategy partition=1 maxUnavailable=2
StatefulSet metadata=1 spec=2 status=3
StatefulSetCondition type=1 status=2 lastTransitionTime=3 reason=4 message=5
StatefulSetList metadata=1 items=2
StatefulSetOrdinals start=1
StatefulSetPersistentVolumeClaimRetentionPolicy whenDeleted=1 whenScaled=2
StatefulSetSpec replicas=1 selector=2 template=3 volumeClaimTemplates=4 serviceName=5 podManagementPolicy=6 updateStrategy=7
  revisionHistoryLimit=8 minReadySeconds=9 persistentVolumeClaimRetentionPolicy=10 ordinals=11
StatefulSetStatus observedGeneration=1 replicas=2 readyReplicas=3 currentReplicas=4 updatedReplicas=5 currentRevision=6
  updateRevision=7 collisionCount=9 conditions=10 availableReplicas=11
StatefulSetUpdateStrategy type=1 rollingUpdate=2
`;

export const BATCH_NUMBERS: string = `
CronJob metadata=1 spec=2 status=3
CronJobList metadata=1 items=2
CronJobSpec schedule=1 startingDeadlineSeconds=2 concurrencyPolicy=3 suspend=4 jobTemplate=5 successfulJobsHistoryLimit=6
  failedJobsHistoryLimit=7 timeZone=8
CronJobStatus active=1 lastScheduleTime=4 lastSuccessfulTime=5
Job metadata=1 spec=2 status=3
JobCondition type=1 status=2 lastProbeTime=3 lastTransitionTime=4 reason=5 message=6
JobList metadata=1 items=2
JobSpec parallelism=1 completions=2 activeDeadlineSeconds=3 selector=4 manualSelector=5 template=6 backoffLimit=7
  ttlSecondsAfterFinished=8 completionMode=9 suspend=10 podFailurePolicy=11 backoffLimitPerIndex=12 maxFailedIndexes=13
  podReplacementPolicy=14 managedBy=15 successPolicy=16
JobStatus conditions=1 startTime=2 completionTime=3 active=4 succeeded=5 failed=6 completedIndexes=7 uncountedTerminatedPods=8
  ready=9 failedIndexes=10 terminating=11
JobTemplateSpec metadata=1 spec=2
PodFailurePolicy rules=1
PodFailurePolicyOnExitCodesRequirement containerName=1 operator=2 values=3
PodFailurePolicyOnPodConditionsPattern type=1 status=2
PodFailurePolicyRule action=1 onExitCodes=2 onPodConditions=3
SuccessPolicy rules=1
SuccessPolicyRule succeededIndexes=1 succeededCount=2
UncountedTerminatedPods succeeded=1 failed=2
`;

export const COORDINATION_NUMBERS: string = `
Lease metadata=1 spec=2
LeaseList metadata=1 items=2
LeaseSpec holderIdentity=1 leaseDurationSeconds=2 acquireTime=3 renewTime=4 leaseTransitions=5 strategy=6 preferredHolder=7
`;

export const DISCOVERY_NUMBERS: string = `
Endpoint addresses=1 conditions=2 hostname=3 targetRef=4 deprecatedTopology=5 nodeName=6 zone=7 hints=8
EndpointConditions ready=1 serving=2 terminating=3
EndpointHints forZones=1 forNodes=2
EndpointPort name=1 protocol=2 port=3 appProtocol=4
EndpointSlice metadata=1 endpoints=2 ports=3 addressType=4
EndpointSliceList metadata=1 items=2
ForNode name=1
ForZone name=1
`;

export const EVENTS_NUMBERS: string = `
Event metadata=1 eventTime=2 series=3 reportingController=4 reportingInstance=5 action=6 reason=7 regarding=8 related=9 note=10
  type=11 deprecatedSource=12 deprecatedFirstTimestamp=13 deprecatedLastTimestamp=14 deprecatedCount=15
EventList metadata=1 items=2
EventSeries count=1 lastObservedTime=2
`;

export const NETWORKING_NUMBERS: string = `
HTTPIngressPath path=1 backend=2 pathType=3
HTTPIngressRuleValue paths=1
IPAddress metadata=1 spec=2
IPAddressList metadata=1 items=2
IPAddressSpec parentRef=1
IPBlock cidr=1 except=2
Ingress metadata=1 spec=2 status=3
IngressBackend resource=3 service=4
IngressClass metadata=1 spec=2
IngressClassList metadata=1 items=2
IngressClassParametersReference apiGroup=1 kind=2 name=3 scope=4 namespace=5
IngressClassSpec controller=1 parameters=2
IngressList metadata=1 items=2
IngressLoadBalancerIngress ip=1 hostname=2 ports=4
IngressLoadBalancerStatus ingress=1
IngressPortStatus port=1 protocol=2 error=3
IngressRule host=1 ~IngressRuleValue=2
IngressRuleValue http=1
IngressServiceBackend name=1 port=2
IngressSpec defaultBackend=1 tls=2 rules=3 ingressClassName=4
IngressStatus loadBalancer=1
IngressTLS hosts=1 secretName=2
NetworkPolicy metadata=1 spec=2
NetworkPolicyEgressRule ports=1 to=2
NetworkPolicyIngressRule ports=1 from=2
NetworkPolicyList metadata=1 items=2
NetworkPolicyPeer podSelector=1 namespaceSelector=2 ipBlock=3
NetworkPolicyPort protocol=1 port=2 endPort=3
NetworkPolicySpec podSelector=1 ingress=2 egress=3 policyTypes=4
ParentReference group=1 resource=2 namespace=3 name=4
ServiceBackendPort name=1 number=2
ServiceCIDR metadata=1 spec=2 status=3
ServiceCIDRList metadata=1 items=2
ServiceCIDRSpec cidrs=1
ServiceCIDRStatus conditions=1
`;

export const AUTOSCALING_NUMBERS: string = `
Scale metadata=1 spec=2 status=3
ScaleSpec replicas=1
ScaleStatus replicas=1 selector=2
`;

export const POLICY_NUMBERS: string = `
Eviction metadata=1 deleteOptions=2
`;

export const AUTHENTICATION_NUMBERS: string = `
BoundObjectReference kind=1 apiVersion=2 name=3 uid=4
SelfSubjectReview metadata=1 status=2
SelfSubjectReviewStatus userInfo=1
TokenRequest metadata=1 spec=2 status=3
TokenRequestSpec audiences=1 boundObjectRef=3 expirationSeconds=4
TokenRequestStatus token=1 expirationTimestamp=2
TokenReview metadata=1 spec=2 status=3
TokenReviewSpec token=1 audiences=2
TokenReviewStatus authenticated=1 user=2 error=3 audiences=4
UserInfo username=1 uid=2 groups=3 ^extra=4
`;

export const AUTHORIZATION_NUMBERS: string = `
FieldSelectorAttributes rawSelector=1 requirements=2
FieldSelectorRequirement key=1 operator=2 values=3
LabelSelectorAttributes rawSelector=1 requirements=2
LocalSubjectAccessReview metadata=1 spec=2 status=3
NonResourceAttributes path=1 verb=2
NonResourceRule verbs=1 nonResourceURLs=2
ResourceAttributes namespace=1 verb=2 group=3 version=4 resource=5 subresource=6 name=7 fieldSelector=8 labelSelector=9
ResourceRule verbs=1 apiGroups=2 resources=3 resourceNames=4
SelfSubjectAccessReview metadata=1 spec=2 status=3
SelfSubjectAccessReviewSpec resourceAttributes=1 nonResourceAttributes=2
SelfSubjectRulesReview metadata=1 spec=2 status=3
SelfSubjectRulesReviewSpec namespace=1
SubjectAccessReview metadata=1 spec=2 status=3
SubjectAccessReviewSpec resourceAttributes=1 nonResourceAttributes=2 user=3 groups=4 ^extra=5 uid=6
SubjectAccessReviewStatus allowed=1 reason=2 evaluationError=3 denied=4
SubjectRulesReviewStatus resourceRules=1 nonResourceRules=2 incomplete=3 evaluationError=4
`;

export const META_NUMBERS: string = `
APIGroup name=1 versions=2 preferredVersion=3 serverAddressByClientCIDRs=4
APIGroupList groups=1
APIResource name=1 namespaced=2 kind=3 ^verbs=4 shortNames=5 singularName=6 categories=7 group=8 version=9 storageVersionHash=10
APIResourceList groupVersion=1 resources=2
APIVersions versions=1 serverAddressByClientCIDRs=2
Condition type=1 status=2 observedGeneration=3 lastTransitionTime=4 reason=5 message=6
DeleteOptions gracePeriodSeconds=1 preconditions=2 orphanDependents=3 propagationPolicy=4 dryRun=5
  ignoreStoreReadErrorWithClusterBreakingPotential=6
GroupVersionForDiscovery groupVersion=1 version=2
LabelSelector matchLabels=1 matchExpressions=2
LabelSelectorRequirement key=1 operator=2 values=3
ListMeta selfLink=1 resourceVersion=2 continue=3 remainingItemCount=4
ManagedFieldsEntry manager=1 operation=2 apiVersion=3 time=4 fieldsType=6 fieldsV1=7 subresource=8
ObjectMeta name=1 generateName=2 namespace=3 selfLink=4 uid=5 resourceVersion=6 generation=7 creationTimestamp=8
  deletionTimestamp=9 deletionGracePeriodSeconds=10 labels=11 annotations=12 ownerReferences=13 finalizers=14 managedFields=17
OwnerReference kind=1 name=3 uid=4 apiVersion=5 controller=6 blockOwnerDeletion=7
PartialObjectMetadata metadata=1
PartialObjectMetadataList metadata=1 items=2
Preconditions uid=1 resourceVersion=2
ServerAddressByClientCIDR clientCIDR=1 serverAddress=2
Status metadata=1 status=2 message=3 reason=4 details=5 code=6
StatusCause reason=1 message=2 field=3
StatusDetails name=1 group=2 kind=3 causes=4 retryAfterSeconds=5 uid=6
WatchEvent type=1 object=2
`;
