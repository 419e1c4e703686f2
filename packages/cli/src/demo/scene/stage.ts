import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { createKeyFile, PreSharedKey } from '@keymux/keys';
import type { Backstage } from '../backstage.ts';
import { findInMemory, type Secrets } from '../memory.ts';
import type { Message } from '../processes.ts';
import type { Line } from '../table.ts';
import { SceneClient } from './client.ts';
import type { KeyName, Report } from './client-process.ts';
import type { Role, SceneHost, SceneServer, Start } from './server.ts';
import type { View } from './view.ts';
import { Wire } from './wire.ts';

const HOST = 'site.test';

/** What there is to be revealed. */
export const SECRETS = ["host's key", 'session keys', 'password', 'secret'] as const;

/** What somebody could reveal. */
export interface Finding {
  /** `wire`, or a process of the server. */
  readonly who: string;
  readonly pid?: number;
  readonly act: number;
  /** Names of `SECRETS`; undefined where it could not be searched. */
  readonly found: readonly string[] | undefined;
}

/** Client, wire and server of the scene, real ones, and the view that everything is told to. */
export class Stage {
  readonly findings: Finding[] = [];
  readonly wire: Wire;
  readonly password: string;
  readonly secret: string;
  readonly #view: View;
  readonly #host: SceneHost;
  readonly #client: SceneClient;
  readonly #hostKey: readonly Buffer[];
  #server: SceneServer | undefined;
  #act = 0;

  private constructor(view: View, host: SceneHost, secret: string, hostKey: readonly Buffer[]) {
    this.#view = view;
    this.#host = host;
    this.#hostKey = hostKey;
    this.secret = secret;
    this.password = canary('PASSWORD');
    this.#client = new SceneClient(host.name, host.keyFile);
    this.wire = new Wire(view, [this.password, secret]);
  }

  static async set(view: View, { path, defer }: Backstage): Promise<Stage> {
    const host = { name: HOST, keyFile: path('site.key'), configFile: path('site.json') };
    const secret = canary('SECRET');
    await createKeyFile(host.keyFile);
    // Not in the environment, which every process of a server inherits.
    await writeFile(host.configFile, JSON.stringify({ secret }), { mode: 0o600 });
    const stage = new Stage(view, host, secret, await formsOfKey(host.keyFile));
    defer(() => stage.#client.stop());
    defer(() => stage.#server?.stop());
    defer(() => stage.wire.close());
    return stage;
  }

  /** The next act begins. */
  async begin(title: string): Promise<void> {
    this.#act += 1;
    this.wire.begin();
    this.#view.begin({ number: this.#act, title });
    await this.#introduce('client', [{ role: 'process', pid: this.#client.pid }]);
  }

  /** Starts a server, in the place of the one before, and the wiretap in front of it; the client connects. */
  async serve(start: Start): Promise<void> {
    await this.#server?.stop();
    this.#server = await start(this.#host, (event) => this.#onServerEvent(event));
    await this.introduceServer();
    const port = await this.wire.tapInto(this.#server.port);
    await this.#client.do({ do: 'connect', address: `127.0.0.1:${port}` });
    await this.#view.settled();
  }

  /** Of the processes of the server. */
  get roles(): readonly string[] {
    return (this.#server?.processes ?? []).map(({ role }) => role);
  }

  introduceServer(): Promise<void> {
    return this.#introduce('server', this.#server?.processes ?? []);
  }

  async tell(...lines: readonly (Line | string)[]): Promise<void> {
    await this.#view.settled();
    await this.#view.tell(lines.map((line) => (typeof line === 'string' ? { text: line } : line)));
  }

  /** The client negotiates a key with the host. */
  async negotiate(): Promise<void> {
    await this.#view.show('client', [{ text: 'asks for a key' }]);
    await this.#client.do({ do: 'negotiate' });
  }

  /** The client ends its session. */
  async close(): Promise<void> {
    await this.#view.show('client', [{ text: 'closes' }]);
    await this.#client.do({ do: 'close' });
    await this.wire.ended();
  }

  /** The client asks the server for a page, and waits for the answer. */
  async request(method: string, path: string, body?: string): Promise<Report> {
    const sends = body === undefined ? [] : [{ text: `  sends ${body}` }];
    await this.#view.show('client', [{ text: `${method} ${path}` }, ...sends]);
    const answer = await this.#client.do({
      do: 'request',
      method,
      path,
      ...(body !== undefined && { body }),
    });
    const got = answer.body?.includes(this.secret) ? [{ text: `  got ${this.secret}` }] : [];
    await this.#view.show('client', [{ text: `${answer.status}` }, ...got, sealing(answer.received)]);
    return answer;
  }

  /** What the wiretap has got since the act began. */
  searchWire(): readonly string[] {
    const found = this.wire.find(this.#secrets());
    this.findings.push({ who: 'wire', act: this.#act, found });
    return found;
  }

  /** Breaks into each process of the server, while the session of the client goes on. */
  async searchServer(): Promise<readonly Finding[]> {
    const findings: Finding[] = [];
    for (const { role, pid } of this.#server?.processes ?? []) {
      const finding = { who: role, pid, act: this.#act, found: await findInMemory(pid, this.#secrets()) };
      findings.push(finding);
      await this.#view.show('server', describe(finding));
    }
    this.findings.push(...findings);
    return findings;
  }

  async #introduce(pane: 'client' | 'server', roles: readonly Role[]): Promise<void> {
    await this.#view.show(
      pane,
      roles.map(({ role, pid }) => ({ text: `${role} ${pid}`, style: 'dim' })),
    );
  }

  #secrets(): Secrets {
    const { sessionKeys } = this.#client;
    const forms = [this.#hostKey, sessionKeys, [Buffer.from(this.password)], [Buffer.from(this.secret)]];
    return new Map(SECRETS.map((name, at) => [name, forms[at] ?? []]));
  }

  #onServerEvent({ event, method, path, status, received, sent }: Message): void {
    if (event !== 'request') return;
    void this.#view.show('server', [
      { text: `${method} ${path}` },
      protection('came', received),
      { text: `${status}` },
      protection('sent', sent),
    ]);
  }
}

/** Of a process that has been broken into. */
function describe({ who, pid, found }: Finding): Line[] {
  const title: Line = { text: `${who} ${pid} has`, style: 'bold' };
  if (found === undefined) return [title, { text: '  not searched' }];
  if (found.length === 0) return [title, { text: '  none of these', style: 'green' }];
  return [title, ...found.map((name): Line => ({ text: `  ${name}`, style: 'red' }))];
}

function sealing(key: KeyName | undefined): Line {
  return key === undefined
    ? { text: '  unprotected', style: 'red' }
    : { text: `  sealed, key ${key.id}`, style: 'green' };
}

function protection(verb: string, level: unknown): Line {
  return level === 'none'
    ? { text: `  ${verb} unprotected`, style: 'red' }
    : { text: `  ${verb} sealed`, style: 'green' };
}

function canary(name: string): string {
  return `${name}-${randomBytes(2).toString('hex')}`;
}

/** A key as it stands in its file, and as processes have it that use it (spec 3.5). */
async function formsOfKey(path: string): Promise<Buffer[]> {
  const file = await readFile(path);
  const { spipedKey, psk } = new PreSharedKey(file);
  return [file, ...[spipedKey, psk].map((secret) => secret.use((bytes) => Buffer.from(bytes)))];
}
