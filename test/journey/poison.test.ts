import { connect } from 'nats';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FrameType, readParcel } from '../../shared/messages/frame.ts';
import { ParcelWriter } from '../../shared/parcel-writer.ts';
import * as subjects from '../../shared/subjects.ts';
import { startTestGateway } from '../support/gateway.ts';
import type { TestGateway } from '../support/gateway.ts';
import { expectOpenAiError } from '../support/openai-error.ts';
import { startProvider } from '../support/provider.ts';
import type { ScriptedProvider } from '../support/provider.ts';

let provider: ScriptedProvider;
let gateway: TestGateway;
let nats: NatsConnection;

beforeAll(async () => {
  provider = await startProvider({ defaults: 'n=2' });
  gateway = await startTestGateway({
    log: 'error',
    yaml: `providers: { mock: { base_url: "${provider.url}/v1", models: { gpt-mock: {} }, concurrency: 4 } }`,
  });
  // Straight through the client: a Bus would not let such messages out.
  const { host, username, password } = new URL(gateway.nats.url);
  const credentials = password === '' ? { token: username } : { user: username, pass: password };
  nats = await connect({ servers: host, ...(username === '' ? {} : credentials) });
});

afterAll(async () => {
  await nats.close();
  await gateway.stop();
  await provider.stop();
});

const CHAT = '/v1/chat/completions';
const chat = { model: 'gpt-mock', messages: [{ role: 'user', content: 'hello' }] };
const text = (value: string): Uint8Array => Buffer.from(value);

interface PoisonOptions {
  readonly stream?: number;
  readonly sequence?: number;
  readonly reply?: string;
}

interface Poison extends PoisonOptions {
  readonly why: string;
  readonly bytes: Uint8Array;
}

function frame(type: number, payload: string | object, { stream = 0, sequence = 0 }: PoisonOptions = {}): Uint8Array {
  const parcel = new ParcelWriter();
  parcel.append(type, stream, sequence, typeof payload === 'string' ? payload : JSON.stringify(payload));
  return Buffer.from(parcel.view());
}

const good = frame(FrameType.ping, '');
/** What breaks a parcel, whatever subject it comes on. */
const BROKEN_PARCELS: readonly Poison[] = [
  { why: 'nothing', bytes: new Uint8Array() },
  { why: 'text', bytes: text('hello') },
  { why: 'JSON', bytes: text('{"v":1}') },
  { why: 'zeros', bytes: new Uint8Array(10_000) },
  { why: 'version 2', bytes: Buffer.concat([Buffer.of(2), good.subarray(1)]) },
  { why: 'a header cut', bytes: good.subarray(0, 7) },
  { why: 'a payload cut', bytes: frame(FrameType.open, 'payload').subarray(0, -1) },
  { why: 'a length of 4 GB', bytes: Buffer.concat([Buffer.of(1, 0xff, 0xff, 0xff, 0xff), good.subarray(5)]) },
];

async function poisoned(role: string, subject: string): Promise<number> {
  const metrics = await (await fetch(`${gateway.url}/metrics`)).text();
  const line = new RegExp(`^sluice_poisoned_messages_total\\{role="${role}",subject="${subject}"\\} (\\d+)$`, 'm');
  return Number(line.exec(metrics)?.[1] ?? 0);
}

async function until(read: () => Promise<number>, expected: number): Promise<void> {
  for (let tries = 0; tries < 200 && (await read()) < expected; tries++) await nats.flush();
  expect(await read()).toBe(expected);
}

/** Each is dropped and counted once, and a request afterwards is served by all who were poisoned. */
async function expectDropped(role: string, subject: string, poisons: readonly Poison[], times = 1): Promise<void> {
  const family = subject.split('.').slice(0, 2).join('.');
  const before = await poisoned(role, family);
  for (const { bytes, reply } of poisons) nats.publish(subject, bytes, reply === undefined ? {} : { reply });
  await until(() => poisoned(role, family), before + poisons.length * times);
  await expectServed();
  expect(await poisoned(role, family)).toBe(before + poisons.length * times);
}

async function expectServed(): Promise<void> {
  // More at once than there are slots: none may have been lost.
  const answers = await Promise.all(Array.from({ length: 12 }, () => gateway.post(CHAT, chat)));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  await Promise.all(answers.map((answer) => answer.text()));
  expect((await fetch(`${gateway.url}/health/ready`)).status).toBe(200);
}

const principal = { keyId: 'k', keyName: 'k', team: null };
const envelope = {
  ...{ v: 1, id: 'req_1', principal, model: 'gpt-mock', endpoint: 'chat', stream: false, bodyBytes: 2 },
  ...{ deadlineEpochMs: Date.now() + 60_000, tried: [] },
};
const task = {
  ...{ v: 1, id: 'req_1', attempt: 1, deployment: 'mock/gpt-mock', pool: 'mock', router: 'nobody', slot: 1 },
  ...{ route: null, principal, model: 'gpt-mock', endpoint: 'chat', stream: false, includeUsage: false },
  ...{ modelAt: [9, 19], streamOptionsAt: null, bodyBytes: 2, deadlineEpochMs: Date.now() + 60_000 },
  ...{ queueMs: 0, creditBytes: 1_000 },
};

test('a router drops what is no question', async () => {
  const reply = subjects.inboxSubject('nobody', 'nobody');
  await expectDropped('router', subjects.routerSubject(gateway.services.router.id), [
    ...BROKEN_PARCELS,
    { why: 'an unknown frame', bytes: frame(0x7f, '') },
    { why: 'a frame for others', bytes: frame(FrameType.head, '{}') },
    { why: 'an ask that is not JSON', bytes: frame(FrameType.ask, 'hello'), reply },
    { why: 'an ask of version 2', bytes: frame(FrameType.ask, { ...envelope, v: 2 }), reply },
    { why: 'an ask without a model', bytes: frame(FrameType.ask, { ...envelope, model: undefined }), reply },
    {
      why: 'an ask with too long a history',
      bytes: frame(FrameType.ask, { ...envelope, tried: Array(33).fill({}) }),
      reply,
    },
    { why: 'an ask that names no reply', bytes: frame(FrameType.ask, envelope) },
    { why: 'slots that are not JSON', bytes: frame(FrameType.slots, '') },
    {
      why: 'slots without a worker',
      bytes: frame(FrameType.slots, { v: 1, pool: 'mock', issued: 1, outstanding: 0, capacity: 1 }),
    },
    { why: 'a recall of "all"', bytes: frame(FrameType.recall, { v: 1, worker: 'w', pool: 'mock', count: 'all' }) },
  ]);
});

test('a worker drops what is no task', async () => {
  const reply = subjects.inboxSubject('nobody', gateway.services.worker.id);
  const head = `${JSON.stringify(task)}\n`;
  await expectDropped('worker', subjects.workerSubject(gateway.services.worker.id), [
    ...BROKEN_PARCELS,
    { why: 'an unknown frame', bytes: frame(0x7f, ''), reply },
    { why: 'a frame for others', bytes: frame(FrameType.ask, envelope), reply },
    { why: 'a task without a newline', bytes: frame(FrameType.open, JSON.stringify(task)), reply },
    { why: 'a task that is not JSON', bytes: frame(FrameType.open, 'hello\n{}'), reply },
    { why: 'a task of version 2', bytes: frame(FrameType.open, `${JSON.stringify({ ...task, v: 2 })}\n{}`), reply },
    {
      why: 'a task with a range of one',
      bytes: frame(FrameType.open, `${JSON.stringify({ ...task, modelAt: [1] })}\n{}`),
      reply,
    },
    { why: 'a task that names no reply', bytes: frame(FrameType.open, `${head}{}`) },
    { why: 'a part that names no reply', bytes: frame(FrameType.chunk, 'x', { stream: 9, sequence: 1 }) },
    { why: 'returned slots that are not JSON', bytes: frame(FrameType.returned, ''), reply },
    {
      why: 'slots returned from null',
      bytes: frame(FrameType.returned, { v: 1, router: 'r', pool: 'mock', from: null, to: 1 }),
    },
  ]);
});

test('who sent a task that cannot be read is told so, and can ask elsewhere', async () => {
  const worker = gateway.services.worker.id;
  const inbox = subjects.inboxSubject('somebody', worker);
  const answer = nats.subscribe(inbox, { max: 1 });
  nats.publish(subjects.workerSubject(worker), frame(FrameType.open, '{"v":2}\n{}', { stream: 7 }), { reply: inbox });
  for await (const { data } of answer) {
    readParcel(data, (type, stream, sequence, payload) => {
      expect([type, stream, sequence]).toEqual([FrameType.failed, 7, 0]);
      expect(JSON.parse(payload.toString())).toMatchObject({ error: { code: 'worker_busy' } });
    });
  }
  expect(answer.getProcessed()).toBe(1);
});

test('a worker survives what is well formed and makes no sense', async () => {
  const worker = subjects.workerSubject(gateway.services.worker.id);
  const reply = subjects.inboxSubject('nobody', gateway.services.worker.id);
  const router = gateway.services.router.id;
  const open = (fields: object, body = '{}'): Uint8Array =>
    frame(FrameType.open, `${JSON.stringify({ ...task, ...fields })}\n${body}`, { stream: 77 });
  for (const bytes of [
    open({ pool: 'none' }),
    open({ deployment: 'none/none' }),
    open({ deployment: 'mock/none' }),
    open({ bodyBytes: 1 }),
    open({ modelAt: [5, 1_000_000] }),
    open({ modelAt: [2, 0] }),
    open({ deadlineEpochMs: -1e300 }),
    open({ stream: true, streamOptionsAt: [0, 2] }, '[]'),
    open({ stream: true }, ''),
    frame(FrameType.chunk, 'x', { stream: 78, sequence: 1 }),
    frame(FrameType.cancel, 'no_such_code', { stream: 79 }),
    frame(FrameType.credit, 'ab', { stream: 80 }),
    frame(FrameType.returned, { v: 1, pool: 'mock', router, from: 2 ** 50, to: 2 ** 50 }),
    frame(FrameType.returned, { v: 1, router, pool: 'mock', from: 0, to: 2 ** 53 - 1 }),
    frame(FrameType.want, { v: 1, router, pool: 'none', waiting: 1 }),
  ]) {
    nats.publish(worker, bytes, { reply });
    nats.publish(subjects.wantSubject('mock'), bytes);
  }
  await nats.flush();
  // Nobody is at home at this reply: within 2 s the worker knows, and its slots are free.
  await expectServed();
});

test('a router survives what is well formed and makes no sense', async () => {
  const worker = gateway.services.worker.id;
  for (const bytes of [
    frame(FrameType.recall, { v: 1, worker, pool: 'mock', count: -1_000_000 }),
    frame(FrameType.recall, { v: 1, worker, pool: 'mock', count: 1e300 }),
    frame(FrameType.recall, { v: 1, worker: 'nobody', pool: 'none', count: 1 }),
    frame(FrameType.abandon, '', { stream: 4_000_000_000 }),
  ]) {
    nats.publish(subjects.routerSubject(gateway.services.router.id), bytes);
  }
  await nats.flush();
  await expectServed();
});

test('workers drop what is no want', async () => {
  await expectDropped('worker', subjects.wantSubject('mock'), [
    ...BROKEN_PARCELS,
    { why: 'another frame', bytes: frame(FrameType.open, '') },
    { why: 'not JSON', bytes: frame(FrameType.want, 'x') },
    { why: 'no pool', bytes: frame(FrameType.want, { v: 1, router: 'r', waiting: 1 }) },
  ]);
});

test('an ingress drops what is no answer, and goes on with the request under way', async () => {
  provider.configure('n=2&ttft=300');
  const answer = gateway.post(CHAT, chat);
  await provider.waitFor(({ active }) => active === 1);
  provider.configure('');
  const inbox = subjects.inboxSubject(gateway.services.ingress.id, gateway.services.worker.id);
  await expectDropped('ingress', inbox, [
    { why: 'a recall without a pool', bytes: frame(FrameType.recallAhead, { v: 1, router: 'r' }) },
    ...BROKEN_PARCELS.filter(({ bytes }) => bytes.length > 0),
    { why: 'a place that is not JSON', bytes: frame(FrameType.placed, 'x') },
    { why: 'a place of version 2', bytes: frame(FrameType.placed, { v: 2 }) },
    { why: 'a wait without a router', bytes: frame(FrameType.waiting, { v: 1, position: 1 }) },
  ]);
  expect((await answer).status).toBe(200);
});

test.each([
  { why: 'an unknown frame', type: 0x7f, payload: '' },
  { why: 'a refusal that is not JSON', type: FrameType.refused, payload: 'x' },
  { why: 'a number cut short', type: FrameType.taken, payload: 'ab' },
  { why: 'a head that is not JSON', type: FrameType.head, payload: 'x' },
  {
    why: 'a whole answer without its end',
    type: FrameType.whole,
    payload: '{"contentType":"x","headers":{},"inputTokensEstimate":0}\n',
  },
  { why: 'data before its head', type: FrameType.data, payload: '\0\0\0\u0001hello' },
  { why: 'an end before its head', type: FrameType.end, payload: '{}' },
  { why: 'a failure without an error', type: FrameType.failed, payload: '{}' },
])('$why in an answer ends the request with an error, never with half an answer', async ({ type, payload }) => {
  provider.configure('seq=hang');
  const answer = gateway.post(CHAT, chat);
  await provider.waitFor(({ active }) => active === 1);
  const inbox = subjects.inboxSubject(gateway.services.ingress.id, gateway.services.worker.id);
  for (let stream = 0; stream < 500; stream++) nats.publish(inbox, frame(type, payload, { stream }));
  await expectOpenAiError(await answer, 'stream_gap');
  provider.configure('');
  await provider.waitFor(({ active }) => active === 0);
  await expectServed();
});

const BROKEN_BEATS: readonly Poison[] = [
  { why: 'nothing', bytes: new Uint8Array() },
  { why: 'a parcel', bytes: good },
  { why: 'JSON cut', bytes: text('{"v":1') },
  { why: 'no UTF-8', bytes: Buffer.of(0xff, 0xfe) },
  { why: 'version 2', bytes: text('{"v":2}') },
  { why: 'null', bytes: text('null') },
  { why: 'an array', bytes: text('[]') },
  { why: 'deep', bytes: text(`{"v":1,"x":${'['.repeat(50_000)}${']'.repeat(50_000)}}`) },
];

test.each([
  { from: 'worker', heardBy: ['router', 'ingress'] },
  { from: 'router', heardBy: ['worker', 'ingress'] },
  { from: 'ledger', heardBy: ['ingress'] },
] as const)('broken beats of a $from are dropped by those who hear them', async ({ from, heardBy }) => {
  for (const role of heardBy) await expectDropped(role, subjects.beatSubject(from, 'nobody'), BROKEN_BEATS);
});

test('broken news of keys and rules are dropped', async () => {
  await expectDropped('ingress', subjects.RULES_CHANGED, BROKEN_BEATS);
});

test('a broken question for a key is dropped by the ledger', async () => {
  await expectDropped('ledger', subjects.ledgerSubject('key'), [
    ...BROKEN_BEATS,
    { why: 'a hash that is none', bytes: text('{"v":1,"hash":"abc"}') },
  ]);
});

test('broken usage events are put aside, and the good one among them is recorded', async () => {
  const before = (await gateway.rows(0)).length;
  const jetStream = nats.jetstream();
  const subject = subjects.usageSubject('poison');
  for (const { bytes } of BROKEN_BEATS) await jetStream.publish(subject, bytes);
  await jetStream.publish(subject, text(`[1,{},null,{"v":2},${'['.repeat(1_000)}${']'.repeat(1_000)}]`));
  await jetStream.publish(subject, text(`[${Array(1_001).fill('{}').join(',')}]`));
  const response = await gateway.post(CHAT, chat);
  expect(response.status).toBe(200);
  await response.text();
  const id = response.headers.get('x-request-id');
  for (let count = before + 1; (await gateway.rows(count)).every((row) => row.request_id !== id); count++);
  const metrics = await (await fetch(`${gateway.url}/metrics`)).text();
  // Each message that is no list is one, and of a list each bad event.
  expect(metrics).toMatch(/^sluice_ledger_events_poisoned_total 13$/m);
});
