import js from '@eslint/js';
import tseslint from 'typescript-eslint';

/** One module per outside thing (docs/architecture.md, "Who may import whom"). */
const OUTSIDE = {
  nats: { message: 'Only shared/bus.ts talks to NATS.', allowedIn: ['shared/bus.ts'] },
  undici: {
    message: 'Only services/workers/upstream.ts calls providers.',
    allowedIn: ['services/workers/upstream.ts'],
  },
  fastify: {
    message: 'Only services/ingress/server.ts and its routes know fastify.',
    allowedIn: ['services/ingress/server.ts', 'services/ingress/routes/*.ts'],
  },
  pg: { message: 'Only the ledger touches Postgres.', allowedIn: ['services/ledger/**/*.ts', 'infra/servers/**/*.ts'] },
  kysely: { message: 'Only the ledger touches Postgres.', allowedIn: ['services/ledger/**/*.ts'] },
  ioredis: { message: 'Only shared/redis.ts connects to Redis.', allowedIn: ['shared/redis.ts'] },
};

const SERVICES = ['ingress', 'router', 'workers', 'ledger'];

/** What `files` may not import: outside packages that are not theirs, and the other services. */
function borders(files, { own = undefined, bansServices = false } = {}) {
  const paths = Object.entries(OUTSIDE)
    .filter(([, rule]) => !rule.allowedIn.some((allowed) => files.includes(allowed)))
    .map(([name, rule]) => ({ name, message: rule.message, allowTypeImports: true }));
  const patterns = bansServices
    ? SERVICES.filter((service) => service !== own).map((service) => ({
        regex: `(^|/)${own === undefined ? 'services/' : '\\.\\./'}${service}/`,
        message: 'Services meet in shared/, never in each other.',
      }))
    : [];
  return { files, rules: { '@typescript-eslint/no-restricted-imports': ['error', { paths, patterns }] } };
}

const NO_WORLD = ['Date', 'performance', 'process', 'setTimeout', 'setInterval', 'setImmediate', 'fetch'];

export default tseslint.config(
  { ignores: ['node_modules', '.sluice', 'coverage', 'shared/data'] },
  js.configs.recommended,
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ['eslint.config.js'] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      'no-restricted-exports': ['error', { restrictDefaultExports: { direct: true } }],
    },
  },
  ...SERVICES.map((service) => borders([`services/${service}/**/*.ts`], { own: service, bansServices: true })),
  borders(['shared/**/*.ts'], { bansServices: true }),
  ...Object.values(OUTSIDE).flatMap((rule) => rule.allowedIn.map((file) => borders([file]))),
  {
    // Decisions take the time and randomness as arguments.
    files: ['services/*/core/**/*.ts', 'services/workers/dialects/**/*.ts', 'services/workers/providers/**/*.ts'],
    ignores: ['**/*.test.ts'],
    rules: {
      'no-restricted-globals': ['error', ...NO_WORLD],
      'no-restricted-properties': [
        'error',
        { object: 'Math', property: 'random', message: 'Take `random` as an argument.' },
      ],
    },
  },
  {
    files: ['**/*.js', '**/*.cjs'],
    ...tseslint.configs.disableTypeChecked,
  },
  { files: ['eslint.config.js', 'vitest.config.ts'], rules: { 'no-restricted-exports': 'off' } },
);
