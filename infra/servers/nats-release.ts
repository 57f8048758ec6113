import { createHash, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { withLock } from './lock.ts';
import { runTool } from './process.ts';

/** An archive with one program in it, and the only content we accept under that address. */
export interface ReleaseArchive {
  readonly url: string;
  readonly sha256: string;
  /** Path of the program inside the archive. */
  readonly program: string;
}

export const NATS_RELEASE_VERSION = '2.14.5';

/** As published by the NATS team. No first-hand hash is known for macOS: there it is PATH or brew. */
const SHA256: Partial<Record<string, string>> = {
  'linux-amd64': '5e3b603d47c447bda1f77f9ac16dbf91c90aac4ff3681f8fbbc7201e4ed99355',
  'linux-arm64': '673a98d3faa79dde3f9ebf16d6dfac36a5f694e7ad2015e4954dd7939c85cd4c',
};

/** Where a firewall swallows packets, going on to the next source matters more than patience. */
const CONNECT_TIMEOUT_MS = 5_000;
const DOWNLOAD_TIMEOUT_MS = 120_000;
/** The archive has 6 to 7 MB; anything far above is not it. */
const MAX_ARCHIVE_BYTES = 64 << 20;

/** The pinned nats-server for this machine; undefined where none is known. */
export function natsRelease(platform: string, arch: string): ReleaseArchive | undefined {
  const target = `${platform}-${arch === 'x64' ? 'amd64' : arch}`;
  const sha256 = SHA256[target];
  if (sha256 === undefined) return undefined;
  const folder = `nats-server-v${NATS_RELEASE_VERSION}-${target}`;
  return {
    url: `https://github.com/nats-io/nats-server/releases/download/v${NATS_RELEASE_VERSION}/${folder}.tar.gz`,
    sha256,
    program: `${folder}/nats-server`,
  };
}

/** Downloads, checks and unpacks the archive's program to `path`, which appears complete or not at all. */
export async function fetchRelease(release: ReleaseArchive, path: string): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true });
  await withLock(`${path}.lock`, DOWNLOAD_TIMEOUT_MS + CONNECT_TIMEOUT_MS, async () => {
    if (existsSync(path)) return;
    const archive = await download(release.url);
    const sha256 = createHash('sha256').update(archive).digest('hex');
    if (sha256 !== release.sha256) throw new Error(`${release.url} has SHA-256 ${sha256}, expected ${release.sha256}`);
    const work = join(folder, `unpack-${randomUUID()}`);
    await mkdir(work);
    try {
      await writeFile(join(work, 'archive.tar.gz'), archive);
      await runTool('tar', ['-xzf', 'archive.tar.gz', release.program], { cwd: work });
      await rename(join(work, release.program), path);
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  });
}

async function download(url: string): Promise<Uint8Array> {
  const connecting = new AbortController();
  const timer = setTimeout(
    () => connecting.abort(new Error(`no answer within ${CONNECT_TIMEOUT_MS} ms`)),
    CONNECT_TIMEOUT_MS,
  );
  try {
    const response = await fetch(url, {
      signal: AbortSignal.any([connecting.signal, AbortSignal.timeout(DOWNLOAD_TIMEOUT_MS)]),
    });
    clearTimeout(timer);
    if (!response.ok || response.body === null) throw new Error(`${url} answered ${response.status}`);
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      size += chunk.byteLength;
      if (size > MAX_ARCHIVE_BYTES) throw new Error(`${url} is larger than ${MAX_ARCHIVE_BYTES} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } finally {
    clearTimeout(timer);
  }
}
