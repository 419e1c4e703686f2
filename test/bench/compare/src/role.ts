// A process of the benchmark: runs one part of one contender until its parent goes away.

import { type ClientCommand, runCommand } from './commands.ts';
import type { Dialer } from './contender.ts';

const [module, role, params] = process.argv.slice(2);
const part = await import(`./contenders/${module}.js`);
const begun = (await part[role as string](JSON.parse(params as string))) as number | Dialer;

process.on('disconnect', () => process.exit());
if (typeof begun === 'number') process.send?.({ port: begun });
else {
  process.send?.({ port: 0 });
  process.on('message', (command: ClientCommand) => {
    runCommand(begun, command).then(
      (result) => process.send?.({ result }),
      (error: Error) => process.send?.({ error: error.stack ?? error.message }),
    );
  });
}
