import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Duplex, Transform } from 'node:stream';
import { KeeperServer } from '@keymux/keeper';
import { Keyring, LocalKeeper, LocalSpipedKeeper, PreSharedKey } from '@keymux/keys';
import fc from 'fast-check';
import { HELLO, message, messagesIn } from '../../support/keeper-messages.ts';
import { CUTS, cut, DAMAGE, type Damage, damaged, must, mustEqual, pick } from '../checks.ts';
import { target } from '../target.ts';

interface Request {
  readonly kind: number;
  readonly id: number;
  readonly run: number;
  readonly algorithm: number;
  readonly data: Uint8Array;
  /** Instead of all that. */
  readonly head: unknown;
}

interface Case {
  readonly requests: readonly Request[];
  readonly damage: readonly Damage[];
  readonly cuts: readonly number[];
}

const KEY = new PreSharedKey(randomBytes(32));
const KINDS = ['start', 'accept', 'receive', 'abandon', 'pipe', 'hello', 'other'] as const;
const REPLIES = ['welcome', 'refused', 'step', 'turn', 'failed'];

/**
 * A caller says anything at all to a keeper. It gets an answer for each request at most, each in its form, or is disconnected; and another caller is
 * served as before.
 */
export const keeperCaller = target<Case>({
  name: 'keeper-caller',
  cases: fc.record({
    requests: fc.array(
      fc.record({
        kind: fc.nat(KINDS.length - 1),
        id: fc.nat(9),
        run: fc.nat(4),
        algorithm: fc.nat(7),
        data: fc.uint8Array({ maxLength: 60 }),
        head: fc.jsonValue(),
      }),
      { maxLength: 8 },
    ),
    damage: fc.oneof(fc.constant([]), fc.array(DAMAGE, { maxLength: 2 })),
    cuts: CUTS,
  }),
  check: async ({ requests, damage, cuts }) => {
    const server = keeper();
    const said = Buffer.concat([message(HELLO), ...requests.map(messageOf)]);
    const [ours, theirs] = connection();
    const heard: Buffer[] = [];
    ours.on('data', (chunk: Buffer) => heard.push(chunk));
    server.serve(theirs);
    for (const piece of cut(damaged(said, damage), cuts)) if (!ours.destroyed) ours.write(piece);
    const closed = once(ours, 'close');
    ours.end();
    await closed;
    const replies = messagesIn(Buffer.concat(heard));
    must(replies.length <= requests.length + 1 || damage.length > 0, 'more answers than requests');
    for (const { type } of replies) must(REPLIES.includes(String(type)), `an answer of type ${type}`);
    mustEqual(await welcomed(server), 'welcome', 'what another caller is told');
    await server.close();
  },
  runs: 60,
});

function keeper(): KeeperServer {
  const keyring = new Keyring();
  keyring.add(KEY, { authorities: ['', 'a.test'] });
  const pipe = new LocalSpipedKeeper({ key: KEY });
  const pipes = { labels: ['mail'], find: (label: string) => (label === 'mail' ? pipe : undefined) };
  return new KeeperServer({ keeper: new LocalKeeper({ keyring }), pipes });
}

function messageOf({ kind, id, run, algorithm, data, head }: Request): Buffer {
  const type = pick(KINDS, kind);
  const role = type === 'start' ? 'initiator' : 'responder';
  const context = { role, initiator: 'client', depth: 0, keyId: 1, generation: 0, algorithm };
  switch (type) {
    case 'start':
      return message({ type, id, context, offer: { offer: 255, label: KEY.label, authority: 'a.test' } });
    case 'accept':
      return message({ type, id, context }, data);
    case 'receive':
      return message({ type, id, run }, data);
    case 'abandon':
      return message({ type, run });
    case 'pipe':
      return message({ type, id, role: id % 2 === 0 ? 'client' : 'server', label: 'mail' });
    case 'hello':
      return message(HELLO);
    default:
      return message(JSON.stringify(head), data);
  }
}

/** What a caller who keeps to the rules is told. */
async function welcomed(server: KeeperServer): Promise<unknown> {
  const [ours, theirs] = connection();
  server.serve(theirs);
  const answer = new Promise<Buffer>((resolve) => ours.once('data', resolve));
  ours.write(message(HELLO));
  const replies = messagesIn(await answer);
  ours.destroy();
  return replies[0]?.type;
}

/** Both ends of a connection, which copies what it carries: the keeper zeroes what it has written. */
function connection(): [Duplex, Duplex] {
  const way = () => new Transform({ transform: (chunk, _, done) => done(null, Buffer.from(chunk)) });
  const [there, back] = [way(), way()];
  const end = (readable: Transform, writable: Transform) =>
    Duplex.from({ readable, writable }).on('error', () => undefined);
  return [end(back, there), end(there, back)];
}
