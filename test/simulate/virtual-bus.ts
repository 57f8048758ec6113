import type { Bus, FrameListener, Subscription } from '../../shared/bus.ts';
import type { VirtualTime } from './virtual-time.ts';

/** Who is part of the simulation takes a frame's text as it is. */
export type TextListener = (type: number, stream: number, text: string) => void;

type Deliver = (type: number, stream: number, text: string, reply: string) => void;

/**
 * The broker, as the services see it: frames and messages arrive one hop later, in order, and none is lost. Frames are
 * made into bytes only for the services' own code; heartbeats are handed over as the objects they are.
 */
export class VirtualBus {
  readonly isConnected = true;
  readonly #time: VirtualTime;
  readonly #frames = new Map<string, Deliver[]>();
  readonly #messages = new Map<string, Array<(message: object) => void>>();
  #published = 0;

  constructor(time: VirtualTime) {
    this.#time = time;
  }

  /** It has all that a router and a worker's pool ask of the bus. */
  get asBus(): Bus {
    return this as unknown as Bus;
  }

  post(subject: string, reply: string, type: number, stream: number, _sequence: number, text: string): void {
    const listeners = this.#frames.get(subject);
    if (listeners === undefined) return;
    this.#time.hop(() => {
      for (const deliver of listeners) deliver(type, stream, text, reply);
    });
  }

  onFrames(subject: string, listener: FrameListener): Subscription {
    return this.#listen(subject, (type, stream, text, reply) => {
      listener(type, stream, 0, Buffer.from(text), reply, subject);
    });
  }

  onText(subject: string, listener: TextListener): Subscription {
    return this.#listen(subject, listener);
  }

  publish(subject: string, message: object): void {
    const listeners = this.#messages.get(`${subject.slice(0, subject.lastIndexOf('.'))}.*`);
    if (listeners === undefined) return;
    // Nobody is always the first to hear.
    const first = this.#published++ % listeners.length;
    this.#time.hop(() => {
      for (let i = 0; i < listeners.length; i++) listeners[(first + i) % listeners.length]!(message);
    });
  }

  /** @param subject ends with `.*` */
  onMessage(subject: string, _schema: unknown, listener: (message: never) => void): Subscription {
    const listeners = this.#messages.get(subject) ?? [];
    this.#messages.set(subject, listeners);
    listeners.push(listener as (message: object) => void);
    return { unsubscribe: () => void listeners.splice(listeners.indexOf(listener as () => void), 1) };
  }

  /** It never breaks. */
  onConnection(): void {
    return;
  }

  /** Delivers what is no frame. */
  hop(run: () => void): void {
    this.#time.hop(run);
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  #listen(subject: string, deliver: Deliver): Subscription {
    const listeners = this.#frames.get(subject) ?? [];
    this.#frames.set(subject, listeners);
    listeners.push(deliver);
    return { unsubscribe: () => void listeners.splice(listeners.indexOf(deliver), 1) };
  }
}
