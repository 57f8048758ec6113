/** The command line of the load generator: the flags of the Go one, with one dash or two. */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { durationMs } from '../../support/provider/script.ts';

/** Durations in milliseconds. */
export interface LoadOptions {
  /** `http://host:port/path`; plain HTTP/1.1 only. */
  readonly url: string;
  readonly method?: string;
  /** `Name: value` lines. */
  readonly headers?: readonly string[];
  /** `{{seq}}` becomes a unique ten-digit number. */
  readonly body?: string;
  /** Closed loop: this many connections, each sends when its last answer is complete (default 64). */
  readonly connections?: number;
  /** Open loop: arrivals per second on a fixed schedule; latency counts from the due time. */
  readonly rate?: number;
  /** Open loop: most connections at once (default 1,024); a request that finds none free waits. */
  readonly maxConnections?: number;
  /** Measure for this long (default 10,000, when `requests` is not set). */
  readonly durationMs?: number;
  /** Stop after this many requests. */
  readonly requests?: number;
  /** The same load for this long first, not counted. */
  readonly warmupMs?: number;
  /** Read the answer as SSE. */
  readonly stream?: boolean;
  /** Content tokens of a complete stream. */
  readonly expect?: number;
  /** A stream without [DONE] is an error (else it is only counted). */
  readonly needDone?: boolean;
  /** Closed loop: spread the first requests over this time. */
  readonly rampMs?: number;
  /** Per request, from the moment it is sent (default 30,000). */
  readonly timeoutMs?: number;
  /** A new connection for every request. */
  readonly close?: boolean;
  /** Add up to five example error messages to the result. */
  readonly samples?: boolean;
  /** Copied to the result. */
  readonly label?: string;
}

/** LoadOptions with every default filled in. */
export type Load = Required<LoadOptions>;

const FLAGS = {
  url: { type: 'string', default: 'http://127.0.0.1:9100/v1/chat/completions' },
  method: { type: 'string', default: 'POST' },
  header: { type: 'string', short: 'H', multiple: true, default: [] as string[] },
  body: { type: 'string', default: '' },
  connections: { type: 'string', short: 'c', default: '64' },
  requests: { type: 'string', short: 'n', default: '0' },
  duration: { type: 'string', short: 'd', default: '0' },
  warmup: { type: 'string', default: '0' },
  rate: { type: 'string', default: '0' },
  maxconns: { type: 'string', default: '1024' },
  stream: { type: 'boolean', default: false },
  expect: { type: 'string', default: '0' },
  'need-done': { type: 'boolean', default: false },
  timeout: { type: 'string', default: '30s' },
  ramp: { type: 'string', default: '0' },
  close: { type: 'boolean', default: false },
  samples: { type: 'boolean', default: false },
  label: { type: 'string', default: '' },
} as const;

/** Go writes `-url`, parseArgs `--url`; one-letter flags are the same in both. */
const toLongFlag = (argument: string): string => (/^-[a-z][a-z-]+(=|$)/.test(argument) ? `-${argument}` : argument);

/** Throws on an unknown flag or a value that is not what the flag takes. */
export function parseLoad(args: readonly string[]): Load {
  const { values } = parseArgs({ args: args.map(toLongFlag), options: FLAGS, allowNegative: false });
  const requests = Number(values.requests);
  const asked = durationMs(values.duration);
  return {
    url: values.url,
    method: values.method,
    headers: values.header,
    body: values.body.startsWith('@') ? readFileSync(values.body.slice(1), 'utf8') : values.body,
    connections: Number(values.connections),
    rate: Number(values.rate),
    maxConnections: Number(values.maxconns),
    requests,
    durationMs: asked === 0 && requests === 0 ? 10_000 : asked,
    warmupMs: durationMs(values.warmup),
    stream: values.stream,
    expect: Number(values.expect),
    needDone: values['need-done'],
    timeoutMs: durationMs(values.timeout),
    rampMs: durationMs(values.ramp),
    close: values.close,
    samples: values.samples,
    label: values.label,
  };
}

/** The arguments that `parseLoad` turns into these options. */
export function toArguments(options: LoadOptions): string[] {
  const args = [`--url=${options.url}`];
  const add = (flag: string, value: string | number | undefined): void => {
    if (value !== undefined) args.push(`--${flag}=${value}`);
  };
  add('method', options.method);
  for (const header of options.headers ?? []) add('header', header);
  add('body', options.body);
  add('connections', options.connections);
  add('rate', options.rate);
  add('maxconns', options.maxConnections);
  add('duration', options.durationMs);
  add('requests', options.requests);
  add('warmup', options.warmupMs);
  add('expect', options.expect);
  add('ramp', options.rampMs);
  add('timeout', options.timeoutMs);
  add('label', options.label);
  if (options.stream === true) args.push('--stream');
  if (options.needDone === true) args.push('--need-done');
  if (options.close === true) args.push('--close');
  if (options.samples === true) args.push('--samples');
  return args;
}
