import { KeySecret } from '../principals/key-secret.ts';
import type { SecretSource } from '../principals/key-secret.ts';

/** Of every ledger in tests, so that a test can make keys that it knows. Nothing is written into a folder. */
export const TEST_SECRET: SecretSource = { configured: 'a secret for tests alone', dataDir: '/nowhere' };
export const testSecret = new KeySecret(TEST_SECRET.configured ?? '');
