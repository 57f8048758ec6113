/** The scripted provider as a process: `node test/support/provider-main.ts --port 9100 --params 'n=64&itl=10'`. */
import { parseArgs } from 'node:util';
import { startProvider } from './provider.ts';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '9100' },
    params: { type: 'string', default: '' },
    /** Keep the last N requests for /_mock/requests; off by default, it costs CPU. */
    record: { type: 'string', default: '0' },
  },
});

const provider = await startProvider({
  port: Number(values.port),
  defaults: values.params,
  record: Number(values.record),
});
console.log(`scripted provider on ${provider.url}`);
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void provider.stop().then(() => process.exit(0)));
}
