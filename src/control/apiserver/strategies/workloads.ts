// The kinds of apps, batch, policy, networking, discovery and coordination. After `pkg/registry/{apps,batch,networking,discovery,coordination}`.
import type { DaemonSet, ReplicaSet, StatefulSet } from "kubernetes-types/apps/v1";
import type { CronJob, Job } from "kubernetes-types/batch/v1";
import type { Ingress } from "kubernetes-types/networking/v1";
import type { ClusterNetworkPolicy, KubeObject } from "#kube";
import type { Strategy } from "../registry/types.ts";

/** Nothing particular but a generation. */
export const GENERATION_STRATEGY: Strategy = { hasGeneration: true };

/** `apps/deployment/strategy.go` deploymentStatusStrategy is the only one that keeps the labels from status writes. */
export const DEPLOYMENT_STRATEGY: Strategy = { hasGeneration: true, statusKeepsLabels: true };

export const LEASE_STRATEGY: Strategy = { createOnUpdate: true };

export const PLAIN_STRATEGY: Strategy<KubeObject> = {};

// The counts that Go prints even when they are zero.
export const REPLICA_SET_STRATEGY: Strategy<ReplicaSet> = {
  hasGeneration: true,
  prepareForCreate(set) {
    set.status = { replicas: 0 };
  },
};

export const STATEFUL_SET_STRATEGY: Strategy<StatefulSet> = {
  hasGeneration: true,
  prepareForCreate(set) {
    set.status = { replicas: 0, availableReplicas: 0 };
  },
};

export const DAEMON_SET_STRATEGY: Strategy<DaemonSet> = {
  hasGeneration: true,
  prepareForCreate(set) {
    set.status = { currentNumberScheduled: 0, desiredNumberScheduled: 0, numberMisscheduled: 0, numberReady: 0 };
  },
};

export const INGRESS_STRATEGY: Strategy<Ingress> = {
  hasGeneration: true,
  prepareForCreate(ingress) {
    ingress.status = { loadBalancer: {} };
  },
};

export const CLUSTER_NETWORK_POLICY_STRATEGY: Strategy<ClusterNetworkPolicy> = {
  hasGeneration: true,
  prepareForCreate(policy) {
    delete policy.status;
  },
};

export const CRON_JOB_STRATEGY: Strategy<CronJob> = { hasGeneration: true };

const CONTROLLER_UID = "batch.kubernetes.io/controller-uid";
const JOB_NAME = "batch.kubernetes.io/job-name";
const OLD_CONTROLLER_UID = "controller-uid";
const OLD_JOB_NAME = "job-name";

export const JOB_STRATEGY: Strategy<Job> = {
  hasGeneration: true,
  orphansByDefault: true,

  /** A job finds its pods by its own uid, unless the user chose the selector (`batch/job/strategy.go` generateSelector). */
  prepareForCreate(job) {
    const { spec, metadata } = job;
    if (spec?.template === undefined || metadata === undefined || spec.manualSelector === true) return;
    const { uid = "", name = "" } = metadata;
    const template = spec.template.metadata ?? {};
    template.labels = { ...template.labels, [CONTROLLER_UID]: uid, [OLD_CONTROLLER_UID]: uid, [JOB_NAME]: name, [OLD_JOB_NAME]: name };
    spec.template.metadata = template;
    spec.selector = { ...spec.selector, matchLabels: { ...spec.selector?.matchLabels, [CONTROLLER_UID]: uid } };
  },
};
