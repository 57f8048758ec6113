/** The script of an answer: `k=v&k=v`, the same keys as the Go mock of the benchmarks, and more. */

/**
 * One outcome of a request, as named in `seq`; any status 400–599 is a verdict too (`429`, `503`, …).
 *
 * | verdict | what the client sees |
 * | --- | --- |
 * | `ok` | the answer |
 * | `hang` | nothing, for `hang` ms; then the connection closes |
 * | `close` `reset` | the connection is closed (FIN) or reset (RST) without an answer |
 * | `garbage` | bytes that are not HTTP |
 * | `cut` | half of the answer (plain: a body shorter than its content-length; stream: `cutat` tokens), then FIN |
 * | `cutreset` | like `cut`, with a RST |
 * | `err` | stream: an error event after `cutat` tokens, then a clean end; plain: `ok` |
 * | `err200` | status 200 whose body (stream: first event) is an error object |
 * | `role-then-err` | stream: the role chunk, then an error event; plain: status 500 |
 * | `bad` | plain: malformed JSON; stream: a malformed event after `cutat` tokens, then a clean end |
 * | `midbad` | stream: a malformed event after `cutat` tokens, then the rest as if nothing had been; plain: like `bad` |
 * | `cutjson` | plain: truncated JSON with the matching content-length; stream: clean end inside the event after `cutat` tokens |
 * | `empty` | 200 with an empty body |
 * | `html` | 200 with text/html |
 * | `nochoices` | valid JSON with `choices: []`, in the body or in every event |
 * | `nofinish` | no finish_reason: stream ends with `[DONE]` but without it; plain: `finish_reason: null` |
 * | `nodone` | stream: everything but `[DONE]`, clean end |
 * | `noend` | stream: everything, `[DONE]` too, but the connection never ends the body: it closes without the last chunk |
 * | `notstream` | a plain JSON answer even when a stream was asked for |
 * | `forcestream` | a stream even when a plain answer was asked for |
 * | `headers-only` | stream: head and role chunk; plain: head only; then nothing for `hang` ms |
 * | `stall` | stream: `cutat` tokens, then nothing for `hang` ms; plain: half of the body, then nothing |
 * | `slow` | the answer, `slow` ms late |
 * | `trickle` | the answer's bytes in 16 writes, `itl` (or 20) ms apart |
 */
export const VERDICTS = [
  'ok',
  'hang',
  'close',
  'reset',
  'garbage',
  'cut',
  'cutreset',
  'err',
  'err200',
  'role-then-err',
  'bad',
  'midbad',
  'cutjson',
  'empty',
  'html',
  'nochoices',
  'nofinish',
  'nodone',
  'noend',
  'notstream',
  'forcestream',
  'headers-only',
  'stall',
  'slow',
  'trickle',
] as const;

export type Verdict = (typeof VERDICTS)[number] | `${number}`;

/** Times in milliseconds, sizes in bytes, chances 0..1. */
export interface Script {
  /** `ttft`: delay before the first token, or before the whole plain answer. */
  ttftMs: number;
  /** `itl`: gap between tokens; 0 sends them as fast as the client reads. */
  itlMs: number;
  /** `jitter`: uniform extra on `ttft`. */
  jitterMs: number;
  /** `hang`: how long a hang lasts before the connection is closed. */
  hangMs: number;
  /** `slow`: extra delay of the verdict `slow`. */
  slowMs: number;
  /** `n`: completion tokens; fewer when the request's max_tokens says so. */
  n: number;
  /** `size`: bytes of the plain content (0: what `n` tokens take). */
  size: number;
  /** `toksize`: least bytes of each streamed token. */
  toksize: number;
  /** `dims`: width of an embedding when the request does not say. */
  dims: number;
  /** `cutat`: tokens before a cut, error or stall (0: half of them). */
  cutat: number;
  /** `split`: every event in two writes, 1 ms apart, broken after this many bytes (0: off). */
  split: number;
  /** `bytewise`: every byte of a stream in a write (and HTTP chunk) of its own. */
  bytewise: boolean;
  /** `ts`: tokens are `@seq:unixnano@ `, so that a client can measure transit and prove completeness. */
  ts: boolean;
  /** `ping`: an SSE comment before every token. */
  ping: boolean;
  /** `crlf`: SSE lines end in CRLF. */
  crlf: boolean;
  /** `nospace`: no space after `data:`. */
  nospace: boolean;
  /** `u2028`: the text contains U+2028, U+0085 and an emoji. */
  u2028: boolean;
  /** `tools`: two parallel tool calls instead of text, their deltas interleaved; `n` pieces of arguments each. */
  tools: boolean;
  /** `refusal`: the text comes as `refusal`, content is null. */
  refusal: boolean;
  logprobs: boolean;
  /** `choices`: how many choices (0: the request's `n`, or 1). */
  choices: number;
  /** `bigint`: 64-bit integers and unknown fields, in an odd key order. */
  bigint: boolean;
  setcookie: boolean;
  /** `ratelimit`: x-ratelimit-*, x-request-id and openai-processing-ms headers. */
  ratelimit: boolean;
  /** `firehose`: no gap, whatever `itl` says; max_tokens does not shorten it. */
  firehose: boolean;
  /** `models`: status of GET /v1/models (health checks). */
  models: number;
  /** `keepalive=0`: `connection: close` on every answer. */
  keepalive: boolean;
  /** `seq`: outcomes that requests go round, per label and model. */
  seq: readonly Verdict[];
  /** `p429` `p500` `p503` `phang` `preset` `pcut` `perr` `pbad`: chance of each verdict, when `seq` is empty. */
  chances: readonly { readonly verdict: Verdict; readonly chance: number }[];
  /** `ra`: Retry-After of a 429 or 503 (`-`: none). */
  ra: string;
  /** `ecode` `etype` `eparam` `emsg`: parts of the error object; undefined is OpenAI's own for that status. */
  ecode: string | undefined;
  etype: string | undefined;
  eparam: string | undefined;
  emsg: string | undefined;
  /** `up`: label of the counters. */
  label: string;
}

export const DEFAULTS: Script = {
  ttftMs: 0,
  itlMs: 0,
  jitterMs: 0,
  hangMs: 3_600_000,
  slowMs: 2_000,
  n: 16,
  size: 0,
  toksize: 0,
  dims: 256,
  cutat: 0,
  split: 0,
  bytewise: false,
  ts: false,
  ping: false,
  crlf: false,
  nospace: false,
  u2028: false,
  tools: false,
  refusal: false,
  logprobs: false,
  choices: 0,
  bigint: false,
  setcookie: false,
  ratelimit: false,
  firehose: false,
  models: 200,
  keepalive: true,
  seq: [],
  chances: [],
  ra: '1',
  ecode: undefined,
  etype: undefined,
  eparam: undefined,
  emsg: undefined,
  label: '',
};

const UNITS: Readonly<Record<string, number>> = { us: 1e-3, µs: 1e-3, ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** `20ms`, `1.5s`, or a bare number of milliseconds. Throws on anything else. */
export function durationMs(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(us|µs|ms|s|m|h)?$/.exec(text);
  if (match === null) throw new Error(`not a duration: ${text}`);
  return Number(match[1]) * (UNITS[match[2] ?? 'ms'] ?? 1);
}

function number(text: string): number {
  const value = Number(text);
  if (text === '' || !(value >= 0)) throw new Error(`not a number: ${text}`);
  return value;
}

const flag = (text: string): boolean => text === '' || text === '1' || text === 'true';

/** `''` and `null` in an error part mean JSON null. */
const nullable = (text: string): string => (text === 'null' ? '' : text);

function verdict(text: string): Verdict {
  if (/^[45]\d\d$/.test(text)) return text as Verdict;
  const known = VERDICTS.find((name) => name === text);
  if (known === undefined) throw new Error(`unknown verdict: ${text}`);
  return known;
}

const CHANCES: Readonly<Record<string, Verdict>> = {
  p429: '429',
  p500: '500',
  p503: '503',
  phang: 'hang',
  preset: 'reset',
  pcut: 'cut',
  perr: 'err',
  pbad: 'bad',
};

type Setter = (script: Script, value: string) => void;

const SETTERS: Readonly<Record<string, Setter>> = {
  ttft: (script, value) => (script.ttftMs = durationMs(value)),
  itl: (script, value) => (script.itlMs = durationMs(value)),
  jitter: (script, value) => (script.jitterMs = durationMs(value)),
  hang: (script, value) => (script.hangMs = durationMs(value)),
  slow: (script, value) => (script.slowMs = durationMs(value)),
  n: (script, value) => (script.n = number(value)),
  size: (script, value) => (script.size = number(value)),
  toksize: (script, value) => (script.toksize = number(value)),
  dims: (script, value) => (script.dims = number(value)),
  cutat: (script, value) => (script.cutat = number(value)),
  split: (script, value) => (script.split = number(value)),
  choices: (script, value) => (script.choices = number(value)),
  bytewise: (script, value) => (script.bytewise = flag(value)),
  ts: (script, value) => (script.ts = flag(value)),
  ping: (script, value) => (script.ping = flag(value)),
  crlf: (script, value) => (script.crlf = flag(value)),
  nospace: (script, value) => (script.nospace = flag(value)),
  u2028: (script, value) => (script.u2028 = flag(value)),
  tools: (script, value) => (script.tools = flag(value)),
  refusal: (script, value) => (script.refusal = flag(value)),
  logprobs: (script, value) => (script.logprobs = flag(value)),
  bigint: (script, value) => (script.bigint = flag(value)),
  setcookie: (script, value) => (script.setcookie = flag(value)),
  ratelimit: (script, value) => (script.ratelimit = flag(value)),
  firehose: (script, value) => (script.firehose = flag(value)),
  models: (script, value) => (script.models = number(value)),
  keepalive: (script, value) => (script.keepalive = flag(value)),
  seq: (script, value) => (script.seq = value === '' ? [] : value.split(',').map(verdict)),
  ra: (script, value) => (script.ra = value),
  ecode: (script, value) => (script.ecode = nullable(value)),
  etype: (script, value) => (script.etype = nullable(value)),
  eparam: (script, value) => (script.eparam = nullable(value)),
  emsg: (script, value) => (script.emsg = value),
  up: (script, value) => (script.label = value),
};

/**
 * `base` with the keys of `text` changed; keys and values may be percent-encoded. A key without `=` is switched on.
 * Throws on an unknown key, verdict or value.
 */
export function applyScript(base: Script, text: string): Script {
  if (text === '') return base;
  const script: Script = { ...base };
  for (const pair of text.split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const key = decodeURIComponent(equals < 0 ? pair : pair.slice(0, equals));
    const value = equals < 0 ? '' : decodeURIComponent(pair.slice(equals + 1).replaceAll('+', ' '));
    const chance = CHANCES[key];
    if (chance !== undefined) {
      const rest = script.chances.filter((entry) => entry.verdict !== chance);
      script.chances = number(value) === 0 ? rest : [...rest, { verdict: chance, chance: number(value) }];
      continue;
    }
    const setter = SETTERS[key];
    if (setter === undefined) throw new Error(`unknown key: ${key}`);
    setter(script, value);
  }
  if (script.firehose) script.itlMs = 0;
  return script;
}

/** Draws from `chances`: one uniform number against the running sum. */
export function drawVerdict(script: Script, random: () => number): Verdict {
  if (script.chances.length === 0) return 'ok';
  let rest = random();
  for (const { verdict: drawn, chance } of script.chances) {
    if (rest < chance) return drawn;
    rest -= chance;
  }
  return 'ok';
}
