import type { GatewayError } from '../../../shared/errors.ts';
import type { AdmittedRequest } from '../request.ts';
import type { Continuation } from './continuation.ts';
import { continueRequest, readSaid } from './continuation.ts';
import type { TranscriptRoom } from './transcript.ts';
import { Transcript } from './transcript.ts';

/** A stream that its client has a part of, and that another deployment may go on with when it breaks. */
export class ShownStream {
  readonly #transcript: Transcript;
  #tokens = 0;
  #failure: GatewayError | undefined;
  #continuation: Continuation | undefined;

  constructor(room: TranscriptRoom) {
    this.#transcript = new Transcript(room);
  }

  /** How the attempt ended that the last part came from; undefined while it goes on. */
  get failure(): GatewayError | undefined {
    return this.#failure;
  }

  /** What to ask for instead of the request. */
  get continuation(): Continuation | undefined {
    return this.#continuation;
  }

  add(bytes: Buffer): void {
    this.#transcript.add(bytes);
  }

  /**
   * It broke. Whether anybody can go on from what there is of it.
   * @param tokens of the part that came from the attempt that failed
   */
  break(failure: GatewayError, tokens: number, request: AdmittedRequest): boolean {
    this.#failure = failure;
    this.#tokens += tokens;
    const { bytes } = this.#transcript;
    const said = bytes === undefined ? undefined : readSaid(bytes);
    this.#continuation = said === undefined ? undefined : continueRequest(request, said, this.#tokens);
    return this.#continuation !== undefined;
  }

  /** It is over: its bytes are no longer kept. */
  end(): void {
    this.#transcript.end();
  }
}
