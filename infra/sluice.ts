#!/usr/bin/env node
/**
 * The command line's entry. Loads nothing before it knows that this Node can run the rest: an older one would stop at
 * an import it does not have, with a message that helps nobody.
 */
const NEEDED_MAJOR = 26;

const major = Number(process.versions.node.split('.', 1)[0]);
if (major < NEEDED_MAJOR) {
  process.stderr.write(
    `sluice: needs Node ${NEEDED_MAJOR} or newer, this is ${process.version}.\n` +
      'Run it as `npx sluice …` or `npm start`: these use the Node in node_modules, which `npm ci` puts there.\n',
  );
  process.exit(2);
}

const { main } = await import('./program.ts');
process.exit(await main(process.argv));

export {};
