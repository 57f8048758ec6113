import type { Config } from '../../shared/config.ts';
import type { RunningGateway } from '../running-gateway.ts';

/** One line of the doctor: what was looked at, what was found, and what to do unless it is well. */
export interface Check {
  readonly name: string;
  readonly status: 'ok' | 'warn' | 'fail';
  readonly detail: string;
  readonly fix?: string;
}

export interface Patient {
  readonly config: Config;
  /** The gateway that runs on this data folder, if one does: what it holds is not in anybody's way. */
  readonly gateway: RunningGateway | undefined;
}

/** Nothing that is asked here takes longer when it is well. */
export const ANSWER_TIMEOUT_MS = 3_000;

export const ok = (name: string, detail: string): Check => ({ name, status: 'ok', detail });
export const warn = (name: string, detail: string, fix: string): Check => ({ name, status: 'warn', detail, fix });
export const fail = (name: string, detail: string, fix: string): Check => ({ name, status: 'fail', detail, fix });
