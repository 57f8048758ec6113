import { inspect } from 'node:util';
import { ConfigError } from '../../shared/config/errors.ts';
import type { ConfigProblem } from '../../shared/config/errors.ts';
import { reasonOf } from '../unreachable.ts';
import { printable } from './terminal.ts';

/** The command was understood and cannot be done; the message says why and what to do. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}

/** What went wrong, for stderr: what to do about it where we know, the stack only when it was asked for. */
export function describeFailure(failure: unknown, isVerbose: boolean): string {
  const text = failure instanceof ConfigError ? describeProblems(failure) : `sluice: ${say(failure)}`;
  return isVerbose ? `${text}\n\n${inspect(failure)}` : text;
}

function say(failure: unknown): string {
  const code = errnoOf(failure);
  if (failure instanceof Error && code === 'EADDRINUSE') {
    const port = 'port' in failure ? ` ${String(failure.port)}` : '';
    return `port${port} is taken by another program. Choose another with --port (or SLUICE_PORT, or server.port in the configuration).`;
  }
  // A failure of a system call carries no story; ours are told in full, over several lines where need be.
  return printable(
    failure instanceof Error && code === undefined && failure.message !== '' ? failure.message : reasonOf(failure),
    '\n',
  );
}

function errnoOf(failure: unknown): string | undefined {
  return failure instanceof Error && 'code' in failure && 'syscall' in failure ? String(failure.code) : undefined;
}

/** Each problem with its place on one line and what to do on the next. */
export function describeProblems({ file, problems }: Pick<ConfigError, 'file' | 'problems'>): string {
  const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
  const where = file === undefined ? 'the configuration' : file;
  return [`sluice: ${count} in ${where}`, ...problems.flatMap((problem) => describeProblem(file, problem))].join('\n');
}

function describeProblem(file: string | undefined, { path, line, message, hint }: ConfigProblem): string[] {
  const place = line === undefined ? '' : `${file ?? 'configuration'}:${line}  `;
  const said = `  ${place}${path === '' ? '' : `${path}: `}${message}`;
  return [said, ...(hint === undefined ? [] : [`    → ${hint}`])].map((text) => printable(text));
}
