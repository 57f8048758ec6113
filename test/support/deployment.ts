import { withConnection } from '../../infra/servers/postgres-database.ts';
import type { Role } from '../../shared/subjects.ts';
import type { LedgerRow } from './gateway.ts';
import { TEST_KEY, untilReady } from './gateway.ts';
import { Processes } from './processes.ts';
import type { SluiceProcess } from './processes.ts';
import { until } from './settled.ts';

/** A service of its own process, with the address that it listens on when it is an ingress. */
export interface ServiceProcess extends SluiceProcess {
  readonly role: Role;
  /** As it stands in subjects and in the ledger's rows. */
  readonly id: string;
  /** '' but for an ingress. */
  readonly url: string;
}

export interface DeploymentOptions {
  /** What a user would write below `providers:` and so on; `auth` and `server` are filled in. */
  readonly yaml: string;
  readonly natsUrl: string;
  readonly databaseUrl: string;
  readonly redisUrl?: string;
  /** Instances of each service; 2 where nothing is said. */
  readonly instances?: number | Partial<Record<Role, number>>;
}

const ROLES: readonly Role[] = ['ledger', 'router', 'worker', 'ingress'];

/** The gateway scaled out: each instance of each service in a process of its own, all of one configuration. */
export class Deployment {
  readonly #processes: Processes;
  readonly #env: Readonly<Record<string, string>>;
  readonly #configFile: string;
  readonly #wanted: ReadonlyMap<Role, number>;
  readonly #services: ServiceProcess[] = [];
  /** At first none of them can be ready before the others. */
  #isStarting = true;

  static async start({ yaml, natsUrl, databaseUrl, redisUrl, instances = 2 }: DeploymentOptions): Promise<Deployment> {
    const processes = await Processes.make();
    const configFile = await processes.config(
      `auth: { keys: [{ name: test, key: ${TEST_KEY}, team: testers }] }\nserver: { port: 0 }\n${yaml}`,
    );
    const env = {
      NATS_URL: natsUrl,
      DATABASE_URL: databaseUrl,
      ...(redisUrl === undefined ? {} : { REDIS_URL: redisUrl }),
    };
    const count = (role: Role): number => (typeof instances === 'number' ? instances : (instances[role] ?? 2));
    const deployment = new Deployment(processes, env, configFile, new Map(ROLES.map((role) => [role, count(role)])));
    try {
      await deployment.#addMissing();
      deployment.#isStarting = false;
      await deployment.untilWhole();
      return deployment;
    } catch (cause) {
      await processes.killAll();
      throw cause;
    }
  }

  private constructor(
    processes: Processes,
    env: Readonly<Record<string, string>>,
    configFile: string,
    wanted: ReadonlyMap<Role, number>,
  ) {
    this.#processes = processes;
    this.#env = env;
    this.#configFile = configFile;
    this.#wanted = wanted;
  }

  /** As many of each service as at the start, and all of them ready: whatever a test before did, or a first try of this one. */
  async restore(): Promise<void> {
    for (const service of this.#services) service.cont();
    await this.#addMissing();
    await this.untilWhole();
  }

  /** Ends all of a service but the oldest, as an operator would. */
  async keepOne(role: Role): Promise<ServiceProcess> {
    const [kept, ...others] = this.all(role);
    if (kept === undefined) throw new Error(`no ${role} runs`);
    await Promise.all(others.map((other) => other.term()));
    return kept;
  }

  async #addMissing(): Promise<void> {
    const missing = ROLES.flatMap((role) => {
      const count = (this.#wanted.get(role) ?? 0) - this.all(role).length;
      return Array.from({ length: Math.max(0, count) }, () => role);
    });
    await Promise.all(missing.map((role) => this.add(role)));
  }

  /** Starts one more; resolves when it is ready. @param env on top of everybody's */
  async add(role: Role, env: Readonly<Record<string, string>> = {}): Promise<ServiceProcess> {
    const child = await this.#processes.spawn(role, {
      args: ['--config', this.#configFile, ...(role === 'ingress' ? [] : ['--metrics-port', '0'])],
      env: { ...this.#env, ...env },
      cwd: this.#processes.folder,
    });
    try {
      const said = (await child.logged('ready')) as unknown as { id: string; url?: string; metrics?: string };
      const healthUrl = said.url ?? said.metrics;
      if (healthUrl !== undefined && !this.#isStarting) await untilReady(healthUrl);
      const service: ServiceProcess = { ...child, role, id: said.id, url: said.url ?? '' };
      this.#services.push(service);
      void child.exited.then(() => this.#services.splice(this.#services.indexOf(service), 1));
      return service;
    } catch (cause) {
      // One that comes up later would be counted by the gateway, and by nobody here.
      await child.kill9();
      throw cause;
    }
  }

  /** Those that run now, the oldest first. */
  all(role: Role): ServiceProcess[] {
    return this.#services.filter((service) => service.role === role);
  }

  /** The oldest that runs. */
  one(role: Role): ServiceProcess {
    const [first] = this.all(role);
    if (first === undefined) throw new Error(`no ${role} runs`);
    return first;
  }

  urls(): string[] {
    return this.all('ingress').map(({ url }) => url);
  }

  /** Waits until every ingress has heard of every router and ledger that runs, and is ready. */
  async untilWhole(timeoutMs = 30_000): Promise<void> {
    const routers = `${this.all('router').length} live`;
    const ledgers = `${this.all('ledger').length} live`;
    await Promise.all(
      this.urls().map(async (url) => {
        await untilReady(url, timeoutMs);
        let said = '';
        const knowsAll = async (): Promise<boolean> => {
          said = await fetch(`${url}/health/ready`).then((response) => response.text());
          const { checks } = JSON.parse(said) as { checks: Record<string, { detail: string }> };
          return checks['router']?.detail === routers && checks['ledger']?.detail.startsWith(ledgers) === true;
        };
        await until(knowsAll, timeoutMs, () => said);
      }),
    );
  }

  /** Waits until a number of an ingress' `/metrics` satisfies the predicate, and answers it. */
  async metric(url: string, name: string, isEnough: (value: number) => boolean, timeoutMs = 10_000): Promise<number> {
    let value = Number.NaN;
    const look = async (): Promise<boolean> => {
      const text = await fetch(`${url}/metrics`).then((response) => response.text());
      value = Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
      return isEnough(value);
    };
    await until(look, timeoutMs, () => `${name} is ${value}`);
    return value;
  }

  stop(): Promise<void> {
    return this.#processes.killAll();
  }
}

/** The ledger's rows of one model, as its providers call it. */
export function rowsOfModel(databaseUrl: string, model: string): Promise<LedgerRow[]> {
  return withConnection(databaseUrl, async (client) => {
    const { rows } = await client.query<LedgerRow & { [column: string]: unknown }>(
      'select * from attempts where upstream_model = $1',
      [model],
    );
    return rows;
  });
}
