import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  exchangeMacs,
  type Nonces,
  proveValue,
  readValue,
  sessionKeys,
} from '../src/algorithms/spiped-exchange.ts';
import { DhKey } from '../src/crypto.ts';
import { PreSharedKey, type Secret } from '../src/index.ts';
import { Reader } from '../src/reader.ts';

/** What the exchange of ALG 2 is worth, if Debian's spiped speaks it: a packet sealed with its keys comes back. */
const PACKET = 1024;
const present = (): boolean => {
  try {
    execFileSync('spiped', ['-v'], { stdio: 'ignore' });
    return true;
  } catch (error) {
    return (error as { code?: string }).code !== 'ENOENT';
  }
};

describe.skipIf(!present())(
  "Debian's spiped as the peer of the exchange (skipped where spiped is not installed)",
  () => {
    const file = randomBytes(32);
    let directory: string;
    let echo: Server;
    let spiped: ChildProcess;
    let port: number;

    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), 'keymux-spiped-'));
      await writeFile(join(directory, 'key'), file);
      echo = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1');
      await once(echo, 'listening');
      port = await freePort();
      const [source, target] = [`[127.0.0.1]:${port}`, `[127.0.0.1]:${(echo.address() as AddressInfo).port}`];
      spiped = spawn('spiped', ['-F', '-d', '-s', source, '-t', target, '-k', join(directory, 'key')], {
        stdio: 'ignore',
      });
      await listening(port);
    });

    afterAll(async () => {
      spiped.kill();
      echo.close();
      await rm(directory, { recursive: true });
    });

    it('completes the exchange with us and echoes a sealed packet', async () => {
      const peer = await Peer.connect(port);
      const keys = await exchange(peer, new PreSharedKey(file).spipedKey);
      peer.send(sealPacket(keys, 'client', 'hello spiped'));
      expect(openPacket(keys, 'server', await peer.read(PACKET + 4 + 32))).toBe('hello spiped');
      peer.close();
    });

    it('hangs up on another key, as we do', async () => {
      const peer = await Peer.connect(port);
      await expect(exchange(peer, new PreSharedKey(randomBytes(32)).spipedKey)).rejects.toThrow(
        'the peer hung up',
      );
      peer.close();
    });
  },
);

/** Steps C1 to C7 of spiped's DESIGN, as the client. */
async function exchange(peer: Peer, k: Secret): Promise<Secret> {
  const client = randomBytes(32);
  peer.send(client);
  const nonces: Nonces = { client, server: await peer.read(32) };
  const macs = exchangeMacs(k, nonces);
  const own = new DhKey(randomBytes(32));
  peer.send(proveValue(own.publicValue, macs.client));
  const y = readValue(new Reader(await peer.read(288)), macs.server);
  return sessionKeys(k, nonces, own, y);
}

function keyPair(keys: Secret, side: 'client' | 'server'): { encrypt: Buffer; mac: Buffer } {
  const at = side === 'client' ? 0 : 64;
  return keys.use((bytes) => ({
    encrypt: Buffer.from(bytes.subarray(at, at + 32)),
    mac: Buffer.from(bytes.subarray(at + 32, at + 64)),
  }));
}

/** The first packet of a direction: AES-256-CTR with counter 0, then HMAC over it and the packet number. */
function sealPacket(keys: Secret, side: 'client' | 'server', text: string): Buffer {
  const { encrypt, mac } = keyPair(keys, side);
  const padded = Buffer.alloc(PACKET + 4);
  padded.write(text);
  padded.writeUInt32BE(text.length, PACKET);
  const sealed = createCipheriv('aes-256-ctr', encrypt, Buffer.alloc(16)).update(padded);
  return Buffer.concat([sealed, createHmac('sha256', mac).update(sealed).update(Buffer.alloc(8)).digest()]);
}

function openPacket(keys: Secret, side: 'client' | 'server', packet: Buffer): string {
  const { encrypt, mac } = keyPair(keys, side);
  const sealed = packet.subarray(0, PACKET + 4);
  expect(createHmac('sha256', mac).update(sealed).update(Buffer.alloc(8)).digest()).toEqual(
    packet.subarray(PACKET + 4),
  );
  const padded = createDecipheriv('aes-256-ctr', encrypt, Buffer.alloc(16)).update(sealed);
  return padded.toString('utf8', 0, padded.readUInt32BE(PACKET));
}

class Peer {
  readonly #socket: Socket;
  #buffer = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  static async connect(port: number): Promise<Peer> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new Peer(socket);
  }

  send(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  async read(length: number): Promise<Buffer> {
    while (this.#buffer.length < length) {
      const chunk = this.#socket.read() as Buffer | null;
      if (chunk !== null) this.#buffer = Buffer.concat([this.#buffer, chunk]);
      else if (this.#socket.readableEnded || this.#socket.destroyed) throw new Error('the peer hung up');
      else await Promise.race([once(this.#socket, 'readable'), once(this.#socket, 'close')]);
    }
    const bytes = this.#buffer.subarray(0, length);
    this.#buffer = this.#buffer.subarray(length);
    return bytes;
  }

  close(): void {
    this.#socket.destroy();
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Resolves when something listens: spiped says nothing when it is ready. */
async function listening(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    const up = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'close').then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (up) return;
  }
}
