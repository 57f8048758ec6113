/**
 * Every NATS subject, queue group and stream name. No subject literal stands anywhere else.
 * Ids are made by `makeInstanceId` and pool names are checked by the configuration, so every token is subject-safe.
 */
export type Role = 'ingress' | 'router' | 'worker' | 'ledger';

/** ingress, worker → one router (frames `ask`, `abandon`, `slots`, `recall`). An ingress knows the live ones by their beats. */
export const routerSubject = (routerId: string): string => `sluice.router.${routerId}`;

/**
 * What a router gives as the reply of its answers. Nobody answers them; but when their ingress is dead, NATS says here
 * that there are "no responders", and the router forgets who waits for it.
 */
export const routerBounceSubject = (routerId: string, ingressId: string): string =>
  `sluice.router.${routerId}.${ingressId}`;
export const routerBounceWildcard = (routerId: string): string => `sluice.router.${routerId}.*`;
/** `routerBounceSubject(r, i)` → `i`. */
export const ingressOfBounce = (subject: string): string => subject.slice(subject.lastIndexOf('.') + 1);

/** ingress, router → one worker (frames `open`, `chunk`, `cancel`, `credit`, `ping`, `returned`). */
export const workerSubject = (workerId: string): string => `sluice.work.${workerId}`;

/** router → every worker of a pool (frame `want`): somebody waits here; issue me what you have free. */
export const wantSubject = (pool: string): string => `sluice.want.${pool}`;

/** router, worker → one ingress. `peer` names who is asked for an answer, so that a "no responders" names who is gone. */
export const inboxSubject = (ingressId: string, peer: string): string => `sluice.in.${ingressId}.${peer}`;
export const inboxWildcard = (ingressId: string): string => `sluice.in.${ingressId}.*`;
/** The peer of an inbox subject: `inboxSubject(i, p)` → `p`. */
export const peerOfInbox = (subject: string): string => subject.slice(subject.lastIndexOf('.') + 1);
/** The ingress of an inbox subject: `inboxSubject(i, p)` → `i`. */
export const ingressOfInbox = (subject: string): string => subject.split('.')[2] ?? '';
/** Heartbeats of every instance. */
export const beatSubject = (role: Role, id: string): string => `sluice.beat.${role}.${id}`;
export const beatWildcard = (role: Role): string => `sluice.beat.${role}.*`;

/** any → ledger, request and reply; queue group `LEDGERS`. */
export const ledgerSubject = (method: 'key' | 'ping' | 'rules' | 'lease' | 'leases' | 'admin'): string =>
  `sluice.ledger.${method}`;
export const LEDGERS = 'ledgers';

/** ledger, CLI → every ingress: rules or keys changed, forget what you know of them. */
export const RULES_CHANGED = 'sluice.control.rules';

/** ingress → every ingress, with a reply: give back what you do not need of a budget's lease. */
export const LEASES_RECALLED = 'sluice.control.leases';

/** worker, ingress → ledger, JetStream. Shards spread the writers; the ledger reads all of them. */
export const usageSubject = (shard: string): string => `sluice.usage.${shard}`;
export const USAGE_SUBJECTS = 'sluice.usage.>';
export const USAGE_STREAM = 'SLUICE_USAGE';
export const USAGE_CONSUMER = 'ledger';

/** worker → JetStream: attempts that begin, for the reaper of dead workers' attempts. */
export const openSubject = (workerId: string): string => `sluice.open.${workerId}`;
export const OPEN_SUBJECTS = 'sluice.open.>';
export const OPEN_STREAM = 'SLUICE_OPEN';
/** `openSubject(w)` → `w`. */
export const workerOfOpen = (subject: string): string => subject.slice(subject.lastIndexOf('.') + 1);

/** Key-value bucket: what operators have forced on deployments. */
export const FORCED_BUCKET = 'SLUICE_FORCED';
