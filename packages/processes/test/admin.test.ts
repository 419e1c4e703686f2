import { EventEmitter } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import { Channel } from '@keymux/hand-over';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  Admin,
  type Exit,
  type Port,
  type ProcessReport,
  portPair,
  type Running,
  type TeamOptions,
} from '../src/index.ts';

// The processes are puppets, and the time is simulated.

interface Puppet {
  readonly role: string;
  readonly name: string;
  readonly heard: Record<string, unknown>[];
  readonly port: Port;
  /** Its end of the channel for hand-overs, and what came over it. */
  readonly line: EventEmitter;
  readonly passed: unknown[];
  killed: boolean;
  end(exit: Exit): Promise<void>;
}

const ADDRESS = { address: '127.0.0.1', family: 'IPv4', port: 6121 };
const KEPT = [{ label: 'k-1', authority: 'alpha.test', roles: ['responder'], proves: 'key' }];
const CRASH: Exit = { code: null, signal: 'SIGSEGV' };

let puppets: Puppet[];
let reports: ProcessReport[];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  puppets = [];
  reports = [];
});
afterEach(() => {
  vi.useRealTimers();
});

/** Lets messages arrive. */
async function turn(): Promise<void> {
  for (let index = 0; index < 10; index++) await setImmediate();
}

function spawn(role: string, name: string): Running {
  const [ours, theirs] = portPair();
  let settle: (exit: Exit) => void = () => undefined;
  const exited = new Promise<Exit>((resolve) => {
    settle = resolve;
  });
  const passed: unknown[] = [];
  const line = Object.assign(new EventEmitter(), {
    connected: true,
    send: (message: unknown) => passed.push(message),
  });
  const puppet: Puppet = {
    ...{ role, name, heard: [], port: theirs, line, passed, killed: false },
    end: async (exit) => {
      settle(exit);
      await turn();
    },
  };
  theirs.receive((message) => puppet.heard.push(message as Record<string, unknown>));
  puppets.push(puppet);
  const kill = (): void => {
    puppet.killed = true;
    settle({ code: null, signal: 'SIGKILL' });
  };
  const channel = new Channel(line as never);
  return { pid: puppets.length, port: ours, channel, restricted: true, exited, kill };
}

/** As node:child_process where the system has no memory for another process. */
function refusing(): never {
  throw new Error('spawn ENOMEM');
}

const OPTIONS: TeamOptions = {
  ...{ settings: { host: ['alpha.test'] }, workers: 2, spawn, check: () => undefined },
  listener: { handle: {}, place: { address: '127.0.0.1', port: 6121 } },
  report: (report) => reports.push(report),
};

function start(options: Partial<TeamOptions> = {}): Promise<Admin> {
  return Admin.start({ ...OPTIONS, ...options });
}

const named = (name: string): Puppet => puppets.findLast((puppet) => puppet.name === name) as Puppet;
const kinds = (name: string): unknown[] => named(name).heard.map(({ type }) => type);

async function serve(name: string): Promise<void> {
  named(name).port.send({ type: 'ready' });
  await turn();
  named(name).port.send({ type: 'listening', address: ADDRESS });
  await turn();
}

async function started(options: Partial<TeamOptions> = {}): Promise<Admin> {
  const admin = start(options);
  await turn();
  named('keeper').port.send({ type: 'ready', kept: KEPT });
  await turn();
  await serve('worker 1');
  await serve('worker 2');
  return admin;
}

describe('at the start', () => {
  test('workers begin when the keeper has its keys, listen when they are ready, and all have the same options', async () => {
    const check = vi.fn();
    const admin = start({ check });
    await turn();
    expect(kinds('keeper')).toEqual(['begin']);
    expect(kinds('worker 1')).toEqual([]);
    named('keeper').port.send({ type: 'ready', kept: KEPT });
    await turn();
    expect(check).toHaveBeenCalledExactlyOnceWith(KEPT);
    expect(named('worker 1').heard).toEqual([{ type: 'begin', settings: { host: ['alpha.test'] } }]);
    await serve('worker 1');
    expect(kinds('worker 1')).toEqual(['begin', 'listen']);
    await serve('worker 2');
    expect((await admin).address).toEqual(ADDRESS);
    expect(reports.map(({ event, process }) => `${event} ${process}`)).toEqual([
      'process-start keeper',
      'process-start worker 1',
      'process-start worker 2',
    ]);
  });

  test('the keeper is not told what it has no use for', async () => {
    const settings = { host: ['alpha.test'], secret: 'of a page' };
    const admin = await started({ settings, notForKeeper: ['secret'] });
    expect(named('keeper').heard[0]).toEqual({ type: 'begin', settings: { host: ['alpha.test'] } });
    expect(named('worker 1').heard[0]).toEqual({ type: 'begin', settings });
    void admin.reload({ ...settings, secret: 'of another page' }, () => undefined).catch(() => undefined);
    await turn();
    expect(named('keeper').heard.at(-1)).toEqual({ type: 'prepare', settings: { host: ['alpha.test'] } });
  });

  test('options that do not fit what the keeper has end it, before anybody listens', async () => {
    const check = (): void => {
      throw new Error('no key');
    };
    const admin = start({ check });
    await turn();
    named('keeper').port.send({ type: 'ready', kept: KEPT });
    await expect(admin).rejects.toThrow('no key');
    expect(puppets.map(({ killed }) => killed)).toEqual([true, true, true]);
    expect(puppets.flatMap(({ heard }) => heard).filter(({ type }) => type === 'listen')).toEqual([]);
  });

  test.each(['keeper', 'worker 2'])(
    'what %s says of why it cannot begin is the reason, and nobody stays',
    async (name) => {
      const admin = start();
      await turn();
      if (name !== 'keeper') named('keeper').port.send({ type: 'ready', kept: KEPT });
      named(name).port.send({ type: 'failed', text: 'no such file', exitCode: 2 });
      await expect(admin).rejects.toMatchObject({ message: 'no such file', exitCode: 2 });
      expect(puppets.every(({ killed }) => killed)).toBe(true);
      vi.advanceTimersByTime(60_000);
      expect(puppets).toHaveLength(3);
    },
  );

  test('a system that starts no process ends it, and so it does with those that it has started', async () => {
    const admin = start({ spawn: (role, name) => (role === 'worker' ? refusing() : spawn(role, name)) });
    await expect(admin).rejects.toThrow('"worker 1" could not be started (spawn ENOMEM) before it was ready');
    expect(named('keeper').killed).toBe(true);
  });

  test('a process that ends without a word ends it too', async () => {
    const admin = start();
    await turn();
    const told = expect(admin).rejects.toThrow('"worker 1" was ended by SIGSEGV before it was ready');
    await named('worker 1').end(CRASH);
    await told;
  });
});

describe('a process that does not do what it was told', () => {
  const silent = (): unknown[] =>
    reports.flatMap((report) => (report.event === 'process-silent' ? [report.process] : []));

  test('when it is to begin, or to listen, is reported after half a minute, once, and waited for', async () => {
    const admin = start();
    await turn();
    vi.advanceTimersByTime(29_999);
    expect(silent()).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(reports.at(-1)).toMatchObject({ process: 'keeper', pid: 1, silent: 30_000 });
    vi.advanceTimersByTime(600_000);
    expect(silent()).toEqual(['keeper']);
    named('keeper').port.send({ type: 'ready', kept: KEPT });
    await turn();
    await serve('worker 1');
    named('worker 2').port.send({ type: 'ready' });
    await turn();
    vi.advanceTimersByTime(600_000);
    expect(silent()).toEqual(['keeper', 'worker 2']);
    named('worker 2').port.send({ type: 'listening', address: ADDRESS });
    await admin;
  });

  test('when it is to prepare other options, too; ended by hand, it holds up nobody any longer', async () => {
    const admin = await started();
    const reload = admin.reload({ host: ['beta.test'] }, () => undefined);
    await turn();
    for (const name of ['keeper', 'worker 1']) named(name).port.send({ type: 'prepared' });
    await turn();
    vi.advanceTimersByTime(30_000);
    expect(silent()).toEqual(['worker 2']);
    const told = expect(reload).rejects.toThrow('"worker 2" has ended');
    await named('worker 2').end(CRASH);
    await told;
  });

  test('is not, if it has ended', async () => {
    const admin = await started();
    await named('keeper').end(CRASH);
    vi.advanceTimersByTime(150);
    await turn();
    expect(kinds('keeper')).toEqual(['begin']);
    const drained = admin.drain();
    for (const name of ['worker 1', 'worker 2', 'keeper']) await named(name).end({ code: 0, signal: null });
    await drained;
    vi.advanceTimersByTime(600_000);
    expect(silent()).toEqual([]);
  });
});

describe('a process that ends', () => {
  test('is reported, and another one is started, later each time', async () => {
    await started();
    for (const least of [100, 200, 400, 800]) {
      await named('worker 1').end(CRASH);
      const { wait } = reports.at(-1) as ProcessReport & { wait: number };
      expect(reports.at(-1)).toMatchObject({ event: 'process-exit', process: 'worker 1', ...CRASH });
      expect(wait).toBeGreaterThanOrEqual(least);
      expect(wait).toBeLessThan(least * 1.5);
      const before = puppets.length;
      vi.advanceTimersByTime(wait - 1);
      expect(puppets).toHaveLength(before);
      vi.advanceTimersByTime(1);
      expect(puppets).toHaveLength(before + 1);
      await turn();
    }
    expect(puppets.filter(({ name }) => name !== 'worker 1')).toHaveLength(2);
  });

  test('serves again as at first', async () => {
    await started();
    await named('worker 2').end(CRASH);
    vi.advanceTimersByTime(150);
    await turn();
    await serve('worker 2');
    expect(kinds('worker 2')).toEqual(['begin', 'listen']);
  });

  test('after ten seconds has not failed at its start: the next one comes soon', async () => {
    await started();
    for (let times = 0; times < 20; times++) {
      vi.advanceTimersByTime(10_000);
      await named('worker 1').end(CRASH);
      expect((reports.at(-1) as { wait: number }).wait).toBeLessThan(150);
      vi.advanceTimersByTime(150);
      await turn();
    }
  });

  test('each time soon after its start is given up, and all with it', async () => {
    const admin = await started();
    for (let times = 0; times < 8; times++) {
      await named('worker 1').end(CRASH);
      vi.advanceTimersByTime(10_000 - 1);
      await turn();
    }
    expect(await admin.failed).toMatchObject({
      message: expect.stringContaining('"worker 1" ended 8 times'),
      code: 'ERR_KEYMUX_PROCESS',
    });
    expect(named('keeper').killed).toBe(true);
    expect(named('worker 2').killed).toBe(true);
    vi.advanceTimersByTime(60_000);
    expect(puppets.filter(({ name }) => name === 'worker 1')).toHaveLength(8);
  });

  test('and is the keeper: workers stay, and get no connection before the next one has its keys', async () => {
    await started();
    await named('keeper').end(CRASH);
    named('worker 1').port.send({ type: 'wants-link', id: 7 });
    await turn();
    expect(named('worker 1').heard.at(-1)).toEqual({ type: 'link', id: 7, found: false });
    vi.advanceTimersByTime(150);
    await turn();
    expect(named('worker 1').killed).toBe(false);
    expect(kinds('keeper')).toEqual(['begin']);
  });

  test('is not replaced while the system starts no process: that is said, and tried again', async () => {
    let make: typeof spawn = spawn;
    await started({ spawn: (role, name) => make(role, name) });
    make = refusing;
    await named('worker 1').end(CRASH);
    vi.advanceTimersByTime(150);
    await turn();
    const problem = { pid: 0, code: null, signal: null, reason: 'spawn ENOMEM' };
    expect(reports.at(-1)).toMatchObject({ event: 'process-exit', process: 'worker 1', ...problem });
    expect(reports.filter(({ event }) => event === 'process-start')).toHaveLength(3);
    make = spawn;
    vi.advanceTimersByTime(300);
    await turn();
    await serve('worker 1');
    expect(kinds('worker 1')).toEqual(['begin', 'listen']);
  });

  test('has said nothing for the next one, nor for nobody, by what comes of it late', async () => {
    await started();
    const late = named('keeper');
    await late.end(CRASH);
    late.port.send({ type: 'ready', kept: KEPT });
    await turn();
    named('worker 1').port.send({ type: 'wants-link', id: 7 });
    await turn();
    expect(named('worker 1').heard.at(-1)).toEqual({ type: 'link', id: 7, found: false });
    vi.advanceTimersByTime(150);
    await turn();
    late.port.send({ type: 'sign' });
    late.port.send({ type: 'ready', kept: KEPT });
    await turn();
    named('worker 1').port.send({ type: 'wants-link', id: 8 });
    await turn();
    expect(named('worker 1').heard.at(-1)).toEqual({ type: 'link', id: 8, found: false });
  });

  test('says why, as far as it can', async () => {
    await started();
    named('worker 1').port.send({ type: 'failed', text: 'the disk is gone', exitCode: 1 });
    await turn();
    expect(named('worker 1').killed).toBe(true);
    expect(reports.at(-1)).toMatchObject({ event: 'process-exit', reason: 'the disk is gone' });
  });
});

test.each<[string, object]>([
  ['an unknown word', { type: 'sign', data: 'x' }],
  ['a field too many', { type: 'ready', secret: 'x' }],
  ['an address of its own making', { type: 'listening', address: { address: 'x' } }],
  ['an exit status that is none', { type: 'failed', text: 'x', exitCode: 0 }],
])('a process that says %s is ended', async (_what, message) => {
  await started();
  named('worker 1').port.send(message);
  await turn();
  expect(puppets.filter(({ killed }) => killed).map(({ name }) => name)).toEqual(['worker 1']);
});

test('to drain, workers first end their sessions, and the keeper stays as long', async () => {
  const admin = await started();
  const drained = vi.fn();
  void admin.drain().then(drained);
  await turn();
  expect(kinds('worker 1').at(-1)).toBe('drain');
  await named('worker 1').end({ code: 0, signal: null });
  expect(kinds('keeper')).toEqual(['begin']);
  await named('worker 2').end({ code: 0, signal: null });
  expect(kinds('keeper').at(-1)).toBe('drain');
  expect(drained).not.toHaveBeenCalled();
  await named('keeper').end({ code: 0, signal: null });
  expect(drained).toHaveBeenCalled();
  vi.advanceTimersByTime(60_000);
  expect(puppets).toHaveLength(3);
  expect(reports.filter(({ event }) => event === 'process-exit')).toEqual([]);
});

describe('other options', () => {
  const OTHERS = { host: ['beta.test'] };
  const all = ['keeper', 'worker 1', 'worker 2'];
  const answer = async (name: string, message: object): Promise<void> => {
    named(name).port.send(message);
    await turn();
  };

  test('take effect everywhere, once everybody could read what they name', async () => {
    const admin = await started();
    const check = vi.fn();
    const reload = admin.reload(OTHERS, check);
    await turn();
    for (const name of all) {
      expect(named(name).heard.at(-1)).toEqual({ type: 'prepare', settings: OTHERS });
      await answer(name, { type: 'prepared', ...(name === 'keeper' && { kept: KEPT }) });
    }
    await reload;
    await turn();
    expect(check).toHaveBeenCalledExactlyOnceWith(KEPT);
    for (const name of all) expect(named(name).heard.at(-1)).toEqual({ type: 'apply', accepted: true });
    await named('worker 1').end(CRASH);
    vi.advanceTimersByTime(150);
    await turn();
    expect(named('worker 1').heard).toEqual([{ type: 'begin', settings: OTHERS }]);
  });

  test.each(all)('that %s refuses take effect nowhere, and its reason is told', async (refuses) => {
    const admin = await started();
    const told = expect(admin.reload(OTHERS, () => undefined)).rejects.toThrow('no such directory');
    await turn();
    for (const name of all)
      await answer(
        name,
        name === refuses ? { type: 'refused', text: 'no such directory' } : { type: 'prepared' },
      );
    await told;
    for (const name of all) expect(named(name).heard.at(-1)).toEqual({ type: 'apply', accepted: false });
    expect(puppets).toHaveLength(3);
  });

  test('that do not fit what the keeper will have take effect nowhere', async () => {
    const admin = await started();
    const check = (): void => {
      throw new Error('no key for it');
    };
    const told = expect(admin.reload(OTHERS, check)).rejects.toThrow('no key for it');
    await turn();
    for (const name of all) await answer(name, { type: 'prepared' });
    await told;
    for (const name of all) expect(named(name).heard.at(-1)).toEqual({ type: 'apply', accepted: false });
  });

  test('take effect nowhere if a process ends instead of answering', async () => {
    const admin = await started();
    const told = expect(admin.reload(OTHERS, () => undefined)).rejects.toThrow('"worker 2" has ended');
    await turn();
    await named('worker 2').end(CRASH);
    // Nothing is decided before all others have answered: a late answer is none to what comes next.
    expect(named('worker 1').heard.at(-1)).toMatchObject({ type: 'prepare' });
    for (const name of ['keeper', 'worker 1']) await answer(name, { type: 'prepared' });
    await told;
    expect(named('worker 1').heard.at(-1)).toEqual({ type: 'apply', accepted: false });
  });

  test('are refused while the keeper is being started, and nobody is asked', async () => {
    const admin = await started();
    await named('keeper').end(CRASH);
    await expect(admin.reload(OTHERS, () => undefined)).rejects.toThrow('the keeper is being started');
    expect(kinds('worker 1')).toEqual(['begin', 'listen']);
  });

  test('that take effect end a process that has begun with those before meanwhile', async () => {
    const admin = await started();
    await named('worker 2').end(CRASH);
    const reload = admin.reload(OTHERS, () => undefined);
    vi.advanceTimersByTime(150);
    await turn();
    const late = named('worker 2');
    expect(late.heard).toEqual([{ type: 'begin', settings: { host: ['alpha.test'] } }]);
    for (const name of ['keeper', 'worker 1']) await answer(name, { type: 'prepared' });
    await reload;
    expect(late.killed).toBe(true);
    expect(named('worker 1').killed).toBe(false);
    await turn();
    vi.advanceTimersByTime(300);
    await turn();
    expect(named('worker 2').heard).toEqual([{ type: 'begin', settings: OTHERS }]);
  });
});

describe('an acceptor', () => {
  const NEW = { ...OPTIONS, acceptor: true };
  const say = async (name: string, message: object): Promise<void> => {
    named(name).port.send(message);
    await turn();
  };
  /** Offers a session; it goes to whoever has heard of the offer then. */
  const offer = async (giver: Puppet, name: string): Promise<readonly Puppet[]> => {
    const message = { type: 'hand-over.offer', name: name.repeat(32), version: 1, kind: 'origin' };
    giver.line.emit('message', message, undefined);
    await turn();
    return puppets.filter(({ passed }) =>
      passed.some((each) => JSON.stringify(each) === JSON.stringify(message)),
    );
  };
  /** All are there, and the acceptor was told to listen, but has not said that it does. */
  const almost = async (): Promise<void> => {
    await turn();
    await say('keeper', { type: 'ready', kept: KEPT });
    for (const name of ['acceptor', 'worker 1', 'worker 2']) await say(name, { type: 'ready' });
  };
  const listening = { type: 'listening', address: ADDRESS };

  test('listens when all workers serve, and started again when one does', async () => {
    const admin = start(NEW);
    await turn();
    await say('keeper', { type: 'ready', kept: KEPT });
    await say('acceptor', { type: 'ready' });
    await say('worker 1', { type: 'ready' });
    expect(kinds('acceptor')).toEqual(['begin']);
    await say('worker 2', { type: 'ready' });
    expect(kinds('acceptor')).toEqual(['begin', 'listen']);
    expect(kinds('worker 2')).toEqual(['begin']);
    await say('acceptor', listening);
    await admin;
    for (const name of ['acceptor', 'worker 1', 'worker 2']) await named(name).end(CRASH);
    vi.advanceTimersByTime(150);
    await turn();
    await say('acceptor', { type: 'ready' });
    expect(kinds('acceptor')).toEqual(['begin']);
    await say('worker 2', { type: 'ready' });
    expect(kinds('acceptor')).toEqual(['begin', 'listen']);
  });

  test('can give sessions before anybody knows that it listens', async () => {
    const admin = start(NEW);
    await almost();
    expect(await offer(named('acceptor'), 'a')).toEqual([named('worker 1')]);
    expect(await offer(named('acceptor'), 'b')).toEqual([named('worker 2')]);
    await say('acceptor', listening);
    await admin;
    expect(await offer(named('acceptor'), 'c')).toEqual([named('worker 1')]);
  });

  test('that is ready when it is to end is not told to listen any more', async () => {
    const admin = start(NEW);
    await almost();
    await say('acceptor', listening);
    await named('acceptor').end(CRASH);
    vi.advanceTimersByTime(150);
    await turn();
    void (await admin).drain();
    await say('acceptor', { type: 'ready' });
    expect(kinds('acceptor')).toEqual(['begin', 'drain']);
  });

  test('of an upgrade gives to the workers that start with it, while those before go on among themselves', async () => {
    const admin = start(NEW);
    await almost();
    await say('acceptor', listening);
    const [, , oldWorker] = puppets;
    const oldAcceptor = named('acceptor');
    const upgrade = (await admin).upgrade(NEW);
    await almost();
    const [first] = await offer(named('acceptor'), 'a');
    expect(puppets.indexOf(first as Puppet)).toBeGreaterThan(4);
    const [second] = await offer(oldAcceptor, 'b');
    expect(puppets.indexOf(second as Puppet)).toBeLessThan(4);
    await say('acceptor', listening);
    await upgrade;
    const [third] = await offer(oldWorker as Puppet, 'c');
    expect(puppets.indexOf(third as Puppet)).toBeGreaterThan(4);
  });
});

describe('a server that drains', () => {
  const over = { message: 'the server is ending', exitCode: 1 };

  test('starts no other processes', async () => {
    const admin = await started();
    void admin.drain();
    await expect(admin.upgrade(OPTIONS)).rejects.toMatchObject(over);
    expect(puppets).toHaveLength(3);
  });

  test('ends those that it is starting at once, and is over when the others are', async () => {
    const admin = await started();
    const before = [...puppets];
    const upgrade = expect(admin.upgrade(OPTIONS)).rejects.toMatchObject(over);
    await turn();
    expect(puppets).toHaveLength(6);
    const drained = admin.drain();
    await upgrade;
    await turn();
    expect(puppets.map(({ killed }) => killed)).toEqual([false, false, false, true, true, true]);
    expect(kinds('worker 1')).toEqual([]);
    for (const { heard } of before.slice(1)) expect(heard.at(-1)).toEqual({ type: 'drain' });
    for (const puppet of before.reverse()) await puppet.end({ code: 0, signal: null });
    await drained;
  });
});
