import { Heap } from './heap.ts';

/** What the order of a lane depends on. */
export interface Queued {
  readonly tenant: string;
  /** Share of the slots relative to other tenants; above 0. */
  readonly weight: number;
}

/** One place in a lane, in the lines of one or more deployments. */
export interface Ticket<Q extends Queued> {
  readonly item: Q;
  /** Grows with each arrival. */
  readonly arrival: number;
  readonly flow: Flow<Q>;
  readonly standings: ReadonlyArray<Standing<Q>>;
  isHere: boolean;
}

/** A tenant that waits. */
interface Flow<Q extends Queued> {
  readonly tenant: string;
  /** Of its last to come. */
  weight: number;
  /** Start tag of its next to be served; only grows while the flow lives. */
  start: number;
  waiting: number;
  readonly standings: Map<string, Standing<Q>>;
}

/** One tenant's tickets in the line of one deployment. */
interface Standing<Q extends Queued> {
  readonly deployment: string;
  readonly line: Line<Q>;
  readonly flow: Flow<Q>;
  /** By arrival; those before `first` and those that are not here any more are gone. */
  tickets: Array<Ticket<Q>>;
  first: number;
  waiting: number;
  /** Its rank, start tag and arrival of its first, as of when the heap last gave it a place: now the same or later. */
  start: number;
  arrival: number;
}

/** The line of one deployment. */
interface Line<Q extends Queued> {
  readonly heap: Heap<Standing<Q>>;
  /** Standings with somebody in them; the heap may hold empty ones too. */
  standings: number;
  waiting: number;
}

/** Dead entries that are not worth a compaction. */
const SLACK = 16;

/**
 * One lane of one pool: the lines of its deployments, fair between tenants by start-time fair queueing (Goyal, Vin and
 * Cheng, "Start-time fair queuing", SIGCOMM 1996). Virtual time v is the start tag of the one last served; a tenant's
 * next has the start tag S = max(v, F), F being the finish tag of the tenant's previous, and once it is served
 * F = S + 1/weight; the smallest S is served, ties by F and then by arrival. One slot is one unit of work.
 *
 * Tags belong to tenants, not to tickets, and only serving moves them. With tags given on arrival the order would be the
 * same (who comes while the tenant's previous still waits gets S = F either way), but those who leave unserved would have
 * been paid for. And S is taken when it is served, so that a tenant whose deployments were all unusable has no credit
 * for that time, as little as one that was absent.
 */
export class FairLane<Q extends Queued> {
  readonly #maxRemembered: number;
  readonly #lines = new Map<string, Line<Q>>();
  readonly #flows = new Map<string, Flow<Q>>();
  /** F of tenants that wait no longer, where it is still ahead of v; in the order in which they left. */
  readonly #finished = new Map<string, number>();
  #virtualTime = 0;
  #arrivals = 0;
  #waiting = 0;

  /**
   * @param maxRemembered tenants that do not wait but whose F is kept; beyond it who left first is forgotten, and may be
   *   served one turn early when it comes back
   */
  constructor(maxRemembered: number) {
    this.#maxRemembered = maxRemembered;
  }

  get waiting(): number {
    return this.#waiting;
  }

  waitingFor(deployment: string): number {
    return this.#lines.get(deployment)?.waiting ?? 0;
  }

  /** Stands in the line of each of these deployments; they are distinct, and at least one. */
  add(item: Q, deployments: Iterable<string>): Ticket<Q> {
    const flow = this.#flow(item);
    const standings: Array<Standing<Q>> = [];
    const ticket: Ticket<Q> = { item, arrival: this.#arrivals++, flow, standings, isHere: true };
    for (const deployment of deployments) {
      const standing = this.#standing(flow, deployment, ticket.arrival);
      standing.tickets.push(ticket);
      standing.waiting++;
      standing.line.waiting++;
      standings.push(standing);
    }
    flow.waiting++;
    this.#waiting++;
    return ticket;
  }

  /**
   * How many would be served before this one, the last of its tenant, if all were usable and nobody else came: its tenant's
   * own, and of each other tenant those with an earlier start tag. Looks at every tenant that waits.
   */
  turnOf({ flow, item }: Ticket<Q>): number {
    const own = flow.waiting - 1;
    const start = Math.max(this.#virtualTime, flow.start) + own / item.weight;
    let before = own;
    for (const other of this.#flows.values()) {
      const lead = start - Math.max(this.#virtualTime, other.start);
      if (other === flow || lead < 0) continue;
      before += Math.min(other.waiting, Math.floor(lead * other.weight) + 1);
    }
    return before;
  }

  /** Who should be served next by one of the usable deployments; stays in line. */
  first(isUsable: (deployment: string) => boolean): Q | undefined {
    let best: Standing<Q> | undefined;
    for (const [deployment, line] of this.#lines) {
      if (!isUsable(deployment)) continue;
      const standing = firstOf(line);
      if (standing !== undefined && (best === undefined || isBefore(standing, best))) best = standing;
    }
    return best?.tickets[best.first]?.item;
  }

  /** Leaves with a slot, which its tenant pays for. */
  serve(ticket: Ticket<Q>): void {
    if (!ticket.isHere) return;
    const { flow, item } = ticket;
    this.#virtualTime = Math.max(this.#virtualTime, flow.start);
    flow.start = this.#virtualTime + 1 / item.weight;
    this.leave(ticket);
    this.#forgetFinished();
  }

  /** Leaves without a slot: nobody's order changes. */
  leave(ticket: Ticket<Q>): void {
    if (!ticket.isHere) return;
    ticket.isHere = false;
    for (const standing of ticket.standings) this.#leaveStanding(standing);
    const { flow } = ticket;
    flow.waiting--;
    this.#waiting--;
    if (this.#waiting === 0) {
      // The busy period ends, and with it what anybody owes: the original sets v to the largest F, which says the same.
      this.#flows.clear();
      this.#finished.clear();
      this.#virtualTime = 0;
    } else if (flow.waiting === 0) {
      this.#flows.delete(flow.tenant);
      this.#finished.set(flow.tenant, flow.start);
      this.#forgetFinished();
    }
  }

  #leaveStanding(standing: Standing<Q>): void {
    const { line, deployment, flow } = standing;
    standing.waiting--;
    line.waiting--;
    if (standing.waiting === 0) {
      flow.standings.delete(deployment);
      line.standings--;
    } else if (standing.tickets.length > 2 * standing.waiting + SLACK) {
      standing.tickets = standing.tickets.filter(({ isHere }) => isHere);
      standing.first = 0;
    }
    if (line.waiting === 0) this.#lines.delete(deployment);
    else if (line.heap.size > 2 * line.standings + SLACK) line.heap.retain(({ waiting }) => waiting > 0);
  }

  /** Drops, from the one that left first, what no longer says anything and what is too much. */
  #forgetFinished(): void {
    for (const [tenant, finish] of this.#finished) {
      if (finish > this.#virtualTime && this.#finished.size <= this.#maxRemembered) return;
      this.#finished.delete(tenant);
    }
  }

  #flow({ tenant, weight }: Q): Flow<Q> {
    let flow = this.#flows.get(tenant);
    if (flow === undefined) {
      const finish = this.#finished.get(tenant) ?? 0;
      this.#finished.delete(tenant);
      flow = { tenant, weight, start: Math.max(this.#virtualTime, finish), waiting: 0, standings: new Map() };
      this.#flows.set(tenant, flow);
    }
    flow.weight = weight;
    return flow;
  }

  #standing(flow: Flow<Q>, deployment: string, arrival: number): Standing<Q> {
    let standing = flow.standings.get(deployment);
    if (standing === undefined) {
      const line = this.#line(deployment);
      standing = { deployment, line, flow, tickets: [], first: 0, waiting: 0, start: flow.start, arrival };
      flow.standings.set(deployment, standing);
      line.standings++;
      line.heap.push(standing);
    }
    return standing;
  }

  #line(deployment: string): Line<Q> {
    let line = this.#lines.get(deployment);
    if (line === undefined) {
      line = { heap: new Heap<Standing<Q>>(isBefore), standings: 0, waiting: 0 };
      this.#lines.set(deployment, line);
    }
    return line;
  }
}

/**
 * The first tenant of a line, with its `first` ticket and its rank as they are now. Ranks only get later, so whoever is
 * at the top of the heap by its present rank is before all others, even where theirs are out of date.
 */
function firstOf<Q extends Queued>({ heap }: Line<Q>): Standing<Q> | undefined {
  for (;;) {
    const top = heap.top();
    if (top === undefined) return undefined;
    while (top.first < top.tickets.length && top.tickets[top.first]?.isHere !== true) top.first++;
    const ticket = top.tickets[top.first];
    if (ticket === undefined) {
      heap.pop();
    } else if (top.start === top.flow.start && top.arrival === ticket.arrival) {
      return top;
    } else {
      top.start = top.flow.start;
      top.arrival = ticket.arrival;
      heap.sinkTop();
    }
  }
}

function isBefore<Q extends Queued>(a: Standing<Q>, b: Standing<Q>): boolean {
  return a.start === b.start ? a.arrival < b.arrival : a.start < b.start;
}
