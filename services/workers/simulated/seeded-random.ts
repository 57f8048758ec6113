import { createHash } from 'node:crypto';

/** Numbers in [0, 1) that depend on nothing but the seed: sfc32 (Chris Doty-Humphrey, PractRand), its state a hash of the text. */
export function seededRandom(seed: string): () => number {
  const hash = createHash('sha256').update(seed).digest();
  let a = hash.readInt32LE(0);
  let b = hash.readInt32LE(4);
  let c = hash.readInt32LE(8);
  let counter = hash.readInt32LE(12);
  return () => {
    const next = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + next) | 0;
    return (next >>> 0) / 2 ** 32;
  };
}
