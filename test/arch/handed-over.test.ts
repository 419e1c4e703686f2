import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

// A field that is added to a session and not to what is handed over (spec 13) would be missed in another process only, and late. So each
// field of each class that holds state is either saved, or named here with the reason. (What is saved and not loaded fails in every test.)

const MONOREPO = fileURLToPath(new URL('../..', import.meta.url));

/** Where the state of a session lies. */
const FILES = [
  ...filesOf('packages/session/src'),
  ...['decoder', 'chunk-queue', 'collect', 'header-compression'].map(
    (name) => `packages/frames/src/${name}.ts`,
  ),
  ...[
    ...['registry', 'negotiator', 'established-key', 'sealer', 'opener', 'envelope', 'schedule', 'key-ids'],
    ...['key-info', 'message-log', 'event-queue', 'run', 'runs', 'outbox', 'renegotiation', 'secret'],
    'key-secrets',
  ].map((name) => `packages/keys/src/${name}.ts`),
];

/** Classes that are not part of it, or are written by who holds them. */
const NOT_SAVED: Readonly<Record<string, string>> = {
  EnvelopeReader: 'between two calls no envelope is open',
  Fifo: 'its owner writes the items',
  FrontLink: 'a front is not handed over',
  FrontSession: 'a front is not handed over',
  FrontClear: 'a front is not handed over',
  WindowGrowth: 'measured anew; sizes are written with their windows',
  StreamHandler: 'holds nothing of its own',
  Retirement: 'holds nothing of its own',
  OutputClock: 'the next carrier tells it anew',
  Slab: 'between two calls nothing of it is wanted',
  Blocks: 'memory without content',
  ChunkQueue: 'the decoder writes what waits in it',
  Joined: 'the decoder writes what is collected',
  EventQueue: 'must be empty',
  Run: 'a run in progress is not handed over',
  Runs: 'must be empty',
  Renegotiation: 'holds nothing of its own',
};

/** Fields that `save` does not name, each with what becomes of it. */
const NOT_NAMED: Readonly<Record<string, string>> = {
  // Of the configuration, or of other parts that are written on their own.
  'Accounts.#budgets': 'configuration of the next owner',
  'ControlBinding.#sender': 'follows from the role',
  'ControlReceiver.#sender': 'another part',
  'ControlWriter.#state': 'another part',
  'ControlWriter.#writer': 'another part',
  'Departure.#state': 'another part',
  'Departure.#sender': 'another part',
  'EnvelopeWriter.#keys': 'another part',
  'EnvelopeWriter.#padding': 'configuration of the next owner',
  'EnvelopeWriter.#limit': 'configuration of the next owner',
  'FrameClock.#limit': 'configuration of the next owner',
  'KeepAlive.#interval': 'configuration of the next owner',
  'KeepAlive.#patience': 'configuration of the next owner',
  'KeyProgress.#state': 'another part',
  'KeyProgress.#sender': 'another part',
  'KeyProgress.#retirement': 'another part',
  'ReceiveWindow.#initialSize': 'what the peer was told',
  'ReceiveWindow.#consumed': 'measured anew',
  'ReceiveWindow.pace': 'measured anew',
  'ReceiveWindow.share': 'taken anew',
  'ReceiveWindow.#enforced': 'what the peer was told',
  'PeerTimeouts.#outputClock': 'the next carrier tells it anew',
  'Receiver.#state': 'another part',
  'Receiver.#sender': 'another part',
  'SendWindow.#obeyed': 'what the peer was told',
  'Sender.#state': 'another part',
  'Session.#retirement': 'holds nothing of its own',
  'SessionWindows.#size': 'what the peer was told',
  'StalledStreams.#sender': 'another part',
  'StreamCommands.#state': 'another part',
  'StreamCommands.#sender': 'another part',
  'StreamReceiver.#state': 'another part',
  'StreamReceiver.#sender': 'another part',
  'StreamReceiver.#handler': 'holds nothing of its own',
  'StreamWriter.#state': 'another part',
  'StreamWriter.#writer': 'another part',
  'FrameDecoder.#rules': 'follows from what the decoder is for',
  'FrameDecoder.#lent': 'follows from what the decoder is for',
  'HeaderDecompressor.#mostBytes': 'configuration of the next owner',
  'EstablishedKey.#environment': 'configuration of the next owner',
  'KeyRegistry.#events': 'must be empty',
  'KeyRegistry.#renegotiation': 'holds nothing of its own',
  'Negotiator.#options': 'configuration of the next owner',
  'Outbox.#events': 'another part',
  'EnvelopeCounter.nonce': 'written again for every envelope',
  'EnvelopeCounter.additional': 'written again for every envelope',
  'EnvelopeCounter.#iv': 'the keys of the direction',
  'EnvelopeCounter.#nonce': 'a view of the other',
  'EnvelopeCounter.#limits': 'the same for all',
  'Sealer.overhead': 'the same for all',
  'Opener.#onFirst': 'given by its key',
  'Secret.length': 'that of the bytes',
  'Secret.#bytes': 'lent by `use`',
  'KeyIds.#parity': 'follows from the role',
  // Empty, or over, whenever a session can be handed over.
  'ControlWriter.#onLink': 'only behind a front',
  'EnvelopeWriter.#key': 'between two calls no envelope is open',
  'EnvelopeWriter.#plaintext': 'between two calls no envelope is open',
  'EnvelopeWriter.#plaintextBytes': 'between two calls no envelope is open',
  'EnvelopeWriter.#slab': 'between two calls nothing of it is wanted',
  'Receiver.#envelope': 'between two calls no envelope is open',
  'Receiver.#parked': 'must be empty',
  'Receiver.#behind': 'only behind a front',
  'Receiver.#behindBytes': 'only behind a front',
  'Departure.#farewellSaid': 'a session that is over is not handed over',
  'Session.#events': 'must be empty',
  'Session.#endPending': 'settled first',
  'Session.#error': 'a session that is over is not handed over',
  'FrameDecoder.#failure': 'a session that is over is not handed over',
  'FrameDecoder.#handedOut': 'between two calls nothing of it is wanted',
  'HeaderDecompressor.#failure': 'a session that is over is not handed over',
  'Negotiator.#runs': 'must be empty',
  'Negotiator.#over': 'a session that is over is not handed over',
  'Sealer.#last': 'such a sealer is not written',
  // Sums and links.
  'EnvelopeWriter.#outputBytes': 'counted again',
  'Sender.#retiring': 'entered again with what waits',
  'Sender.#pendingPongs': 'counted again',
  'Sender.#pendingResets': 'counted again',
  'Sender.#queuedOwn': 'counted again',
  'SessionDigest.#slab': 'hashed first',
  'SessionDigest.#used': 'hashed first',
  'FrameDecoder.#queue': 'what waits in it is written',
  'Stream.held': 'the next application says it anew',
  'Stream.previous': 'entered again in its queue',
  'Stream.next': 'entered again in its queue',
  'SessionState.role': 'written with what the peer was told',
  'SessionState.config': 'what the peer was told, and configuration of the next owner',
  'SessionState.keys': 'another part',
  'SessionState.createHash': 'given by the next owner',
  'SessionState.growth': 'measured anew; sizes are written with their windows',
  'SessionState.link': 'never behind a front',
  'SessionState.emit': 'given by the next owner',
  'SessionState.pollKeys': 'given by the next owner',
  'SessionState.heldStreams': 'handled by the application of the giver',
  'SessionState.headerBytes': 'counted again',
  'SessionState.waitingPayload': 'counted again',
  'SessionState.peerStreams': 'counted again',
  'SessionState.ourStreams': 'counted again',
  'SessionState.unconsumed': 'counted again',
};

interface Kind {
  readonly name: string;
  readonly body: string;
  /** What writes it. */
  readonly save: string;
}

const KINDS: readonly Kind[] = FILES.flatMap((file) => {
  const text = readFileSync(`${MONOREPO}${file}`, 'utf8');
  const classes = blocks(text, /^(?:export )?class (\w+)(?:<\w+>)?(?: implements [^\n]*)? \{$/gm, '}').map(
    ({ name, body }) => ({
      ...{ name, body },
      save: blocks(body, /^ {2}(#?save)\(/gm, '  }')
        .map((method) => method.body)
        .join(),
    }),
  );
  // Interfaces that a function of their name writes.
  const records = blocks(text, /^export interface (\w+)[^\n]*\{$/gm, '}').map(({ name, body }) => {
    const writer = new RegExp(`^(?:export )?function (save${name.replace('Session', '')})\\(`, 'gm');
    return {
      name,
      body,
      save: blocks(text, writer, '}')
        .map((made) => made.body)
        .join(),
    };
  });
  return [...classes, ...records.filter(({ save }) => save !== '')];
});

const saved = KINDS.filter(({ save }) => save !== '');

test('the classes that hold the state of a session are found', () => {
  expect(saved.length).toBeGreaterThan(25);
  for (const name of [
    'Session',
    'Stream',
    'Direction',
    'EstablishedKey',
    'Sealer',
    'SessionState',
    'KeyInfo',
  ])
    expect(saved.map((kind) => kind.name)).toContain(name);
});

test('every class is saved, or is named with the reason', () => {
  const others = KINDS.filter(({ save, body }) => save === '' && fieldsOf(body).length > 0);
  expect(others.map(({ name }) => name).sort()).toEqual(Object.keys(NOT_SAVED).sort());
});

test.each(saved)(
  'every field of $name is saved, or is named with what becomes of it',
  ({ name, body, save }) => {
    const missing = fieldsOf(body).filter(
      (field) => !mentions(save, field) && NOT_NAMED[`${name}.${field}`] === undefined,
    );
    expect(missing).toEqual([]);
  },
);

test('nothing is named that is not there', () => {
  const idle = Object.keys(NOT_NAMED).filter((entry) => {
    const [name, field] = entry.split('.') as [string, string];
    const kind = saved.find((candidate) => candidate.name === name);
    return kind === undefined || !fieldsOf(kind.body).includes(field) || mentions(kind.save, field);
  });
  expect(idle).toEqual([]);
});

/** The names of fields that are declared in a class or an interface. */
function fieldsOf(body: string): string[] {
  return [...body.matchAll(/^ {2}(?:override )?(?:readonly )?(#?[a-z]\w*)\??(?:: | = |;)/gm)].map(
    ([, field]) => field as string,
  );
}

function mentions(text: string, field: string): boolean {
  return new RegExp(`(?<![\\w#])${field}(?!\\w)`).test(text);
}

/** What begins with a line that matches and ends with the next that is `end`. */
function blocks(text: string, start: RegExp, end: string): { name: string; body: string }[] {
  return [...text.matchAll(start)].map((match) => {
    const rest = text.slice(match.index);
    const stop = rest.search(new RegExp(`^${end}$`, 'm'));
    return { name: match[1] as string, body: stop < 0 ? rest : rest.slice(0, stop) };
  });
}

function filesOf(directory: string): string[] {
  return readdirSync(`${MONOREPO}${directory}`)
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${directory}/${name}`);
}
