import type { Backstage } from '../backstage.ts';
import type { Line } from '../table.ts';
import { startSeparated, startSingle } from './server.ts';
import { type Finding, Stage } from './stage.ts';
import { summarize } from './summary.ts';
import type { View } from './view.ts';

/** What came of an act, for scripts. */
export interface ActResult {
  readonly title: string;
  readonly ok: boolean;
  readonly checks: Checks;
  readonly wire: {
    readonly connections: number;
    readonly bytes: number;
    readonly frames: readonly SeenFrame[];
  };
}

export interface SeenFrame {
  readonly from: 'client' | 'server';
  readonly type: string;
  readonly bytes: number;
}

export interface SceneResult {
  readonly ok: boolean;
  readonly acts: readonly ActResult[];
  readonly findings: readonly Finding[];
}

type Checks = Readonly<Record<string, boolean>>;

/** Plays the scene. Rejects if a process of it cannot do its part. */
export async function playScene(view: View, backstage: Backstage): Promise<SceneResult> {
  const stage = await Stage.set(view, backstage);
  const acts: ActResult[] = [];
  for (const { title, play } of ACTS) {
    const checks = await play(stage, title);
    const { connections, bytes, frames } = stage.wire;
    const seen = frames.map(({ from, type, bytes }) => ({ from, type, bytes }));
    const ok = Object.values(checks).every(Boolean);
    acts.push({ title, ok, checks, wire: { connections, bytes, frames: seen } });
  }
  await view.conclude(summarize(stage.findings));
  return { ok: acts.every(({ ok }) => ok), acts, findings: stage.findings };
}

const ACTS: readonly { title: string; play: (stage: Stage, title: string) => Promise<Checks> }[] = [
  { title: 'In the clear', play: inTheClear },
  { title: 'Sealed in mid-session', play: sealedInMidSession },
  { title: 'Sealed, and the server in separate processes', play: separated },
];

async function inTheClear(stage: Stage, title: string): Promise<Checks> {
  await stage.begin(title);
  await stage.tell(
    'Client and server are processes of their own, with a wiretap between them. There is no key yet. ' +
      'The client sends a password, and the server answers with a secret.',
  );
  await stage.serve(startSingle);
  const { status, body, sent, received } = await stage.request('POST', '/account', stage.password);
  const found = stage.searchWire();
  await stage.tell(verdictOnWire(found));
  return {
    'the answer came': status === 200 && body?.includes(stage.secret) === true,
    'nothing was sealed': sent === undefined && received === undefined && !sealedFrames(stage),
    'the wiretap read password and secret': found.join() === 'password,secret',
  };
}

async function sealedInMidSession(stage: Stage, title: string): Promise<Checks> {
  await stage.begin(title);
  await stage.introduceServer();
  await stage.tell(
    'The same connection. The client asks for a page that the server answers only sealed: ' +
      'in the middle of the session, it prompts for a key.',
  );
  const prompted = await stage.request('GET', '/login');
  await stage.tell('Both have the key now. The password follows, sealed under it.');
  const login = await stage.request('POST', '/login', stage.password);
  const found = stage.searchWire();
  await stage.tell(
    verdictOnWire(found),
    'What it has: who talks to whom, when, how much, and for which host; and GET /login, which was clear.',
  );
  await stage.tell('But what if the server is broken into? A search of its memory:');
  const [server] = await stage.searchServer();
  await stage.tell(
    holdsKey([server])
      ? bad("One process has it all, also the host's key: with that, somebody can be the host.")
      : notSearchedOr([server], good("The host's key was not found.")),
  );
  await stage.close();
  return {
    'the answers came': prompted.status === 200 && login.status === 200,
    'the request was clear, its answer sealed under a key that the server began':
      prompted.sent === undefined && prompted.received?.id === 2,
    'the password was sealed': login.sent?.id === 2 && login.received?.id === 2,
    'one TCP connection': stage.wire.connections === 1,
    'the wiretap read no secret': found.length === 0,
    'the one process of the server has the key of the host': holds(server, "host's key"),
  };
}

async function separated(stage: Stage, title: string): Promise<Checks> {
  await stage.begin(title);
  await stage.tell('The server again, now in separate processes, as it is by default.');
  await stage.serve(startSeparated);
  const parts = stage.roles.flatMap((role) => PARTS[role] ?? []).join(', ');
  await stage.tell(`Of its processes, ${parts}. A new connection, sealed from the first request on.`);
  await stage.negotiate();
  const { status, sent, received } = await stage.request('POST', '/account', stage.password);
  const found = stage.searchWire();
  await stage.tell(verdictOnWire(found), 'What does an intruder find in each of the processes?');
  const processes = await stage.searchServer();
  const [admin, keeper, worker] = ['admin', 'keeper', 'worker'].map((role) =>
    processes.find(({ who }) => who === role),
  );
  const others = processes.filter((process) => process !== keeper);
  await stage.tell(
    holdsKey(others)
      ? bad("The host's key was found outside of the keeper.")
      : notSearchedOr(
          others,
          good("An intruder in the process that strangers talk to has its sessions, and not the host's key."),
        ),
    'While he is there, he can negotiate through the keeper. The secret is of the configuration, which all but the keeper have.',
  );
  return {
    'the answer came': status === 200,
    'request and answer were sealed': sent?.id === 1 && received?.id === 1,
    'the wiretap read no secret': found.length === 0,
    'the keeper has the key of the host': holds(keeper, "host's key"),
    'the keeper has no session keys': lacks(keeper, 'session keys'),
    'the worker has the session keys': holds(worker, 'session keys'),
    'the admin touches no traffic': lacks(admin, 'session keys') && lacks(admin, 'password'),
    'nobody but the keeper has the key of the host': !holdsKey(others),
  };
}

/** What the processes of a server are for. */
const PARTS: Readonly<Record<string, string>> = {
  admin: 'the admin starts the others',
  keeper: 'the keeper has the keys',
  acceptor: 'the acceptor takes connections and negotiates',
  worker: 'the worker has the sessions',
};

function sealedFrames({ wire }: Stage): boolean {
  return wire.frames.some(({ type }) => type === 'SEALED');
}

function verdictOnWire(found: readonly string[]): Line {
  return found.length === 0
    ? good('The wiretap has read neither password nor secret.')
    : bad(`The wiretap has read: ${found.join(', ')}. So can everybody on the way.`);
}

function notSearchedOr(findings: readonly (Finding | undefined)[], line: Line): Line {
  const unknown = findings.some((finding) => finding?.found === undefined);
  return unknown ? { text: 'Memory could not be searched here.' } : line;
}

function holdsKey(findings: readonly (Finding | undefined)[]): boolean {
  return findings.some((finding) => finding?.found?.includes("host's key"));
}

/** What could not be searched proves nothing, and fails nothing. */
function holds(finding: Finding | undefined, name: string): boolean {
  return finding !== undefined && finding.found?.includes(name) !== false;
}

function lacks(finding: Finding | undefined, name: string): boolean {
  return finding !== undefined && finding.found?.includes(name) !== true;
}

function good(text: string): Line {
  return { text, style: 'green' };
}

function bad(text: string): Line {
  return { text, style: 'red' };
}
