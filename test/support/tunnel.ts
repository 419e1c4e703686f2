import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createKeyFile } from '@keymux/keys';
import { KeymuxProcess } from './processes.ts';
import type { Scope } from './scope.ts';

/** A `keymux proxy` and a `keymux connect` that share a key, each a process of its own. */
export interface Tunnel {
  readonly proxy: KeymuxProcess;
  readonly connect: KeymuxProcess;
  /** The local HTTP proxy, as curl's -x wants it. */
  readonly url: string;
  readonly key: string;
}

export async function startTunnel(
  scope: Scope,
  options: { allow: readonly string[]; proxyArgs?: readonly string[]; connectArgs?: readonly string[] },
): Promise<Tunnel> {
  const key = await makeKey(scope);
  const allow = options.allow.flatMap((rule) => ['--allow', rule]);
  const proxy = await KeymuxProcess.start(scope, [
    'proxy',
    ...['--key', key],
    ...allow,
    ...(options.proxyArgs ?? []),
  ]);
  const connect = await KeymuxProcess.start(scope, [
    'connect',
    proxy.address,
    ...['--key', key],
    ...(options.connectArgs ?? []),
  ]);
  return { proxy, connect, url: `http://${connect.address}`, key };
}

/** A new key file in a directory of its own. */
export async function makeKey(scope: Scope, name = 'test.key'): Promise<string> {
  const path = (await scope.directory())(name);
  await createKeyFile(path);
  return path;
}

/**
 * Sends CONNECT to the local HTTP proxy and takes its 200 off. What comes next is payload; it is not read before somebody
 * asks for it.
 */
export async function openTunnel(
  scope: Scope,
  tunnel: Pick<Tunnel, 'connect'>,
  port: number,
  host = '127.0.0.1',
): Promise<Socket> {
  const socket = connect({ port: tunnel.connect.port, host: '127.0.0.1', allowHalfOpen: true });
  scope.defer(() => socket.destroy());
  socket.write(`CONNECT ${host}:${port} HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n`);
  let head = '';
  while (!head.endsWith('\r\n\r\n')) {
    const byte = socket.read(1) as Buffer | null;
    if (byte === null) await once(socket, 'readable');
    else head += byte.toString();
  }
  if (!head.startsWith('HTTP/1.1 200 ')) throw new Error(head);
  return socket;
}
