// A process of the benchmark: runs one part of one contender until its parent goes away.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { tuneMemory } from '@keymux/streams/tune-memory';
import { type ClientCommand, runCommand } from './commands.ts';
import type { Dialer } from './contender.ts';
import type { Link } from './stage.ts';

/** What a process is told; one command at a time, each of which is answered. */
type Message = ClientCommand | { readonly do: 'collect' } | Link;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

tuneMemory(); // alike for all that run in Node

const [module, role, params] = process.argv.slice(2);
const part = await import(`./contenders/${module}.js`);
const begun = (await part[role as string](JSON.parse(params as string))) as number | Dialer;

process.on('disconnect', () => process.exit());
process.on('message', (message: Message) => {
  act(message).then(
    (result) => process.send?.({ result }),
    (error: Error) => process.send?.({ error: error.stack ?? error.message }),
  );
});
process.send?.({ port: typeof begun === 'number' ? begun : 0 });

async function act(message: Message): Promise<unknown> {
  if (!('do' in message)) return part.lengthen(message);
  if (message.do !== 'collect') return runCommand(begun as Dialer, message);
  for (let round = 0; round < 3; round++) {
    await new Promise(setImmediate);
    collect();
  }
  return {};
}
