import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { formatPublicKey, type Signer, SshAgent } from '@keymux/keys';
import type { Scope } from './scope.ts';

/** Somebody's Ed25519 key in an ssh-agent of his own, which writes down what it is asked to sign. */
export interface SshIdentity {
  readonly signer: Signer;
  readonly privateKey: KeyObject;
  /** As in authorized_keys and known_hosts. */
  readonly line: string;
  /** The data of every request to sign. */
  readonly asked: Buffer[];
}

export async function sshIdentity(scope: Scope, comment: string): Promise<SshIdentity> {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x as string, 'base64url');
  const blob = Buffer.concat([string('ssh-ed25519'), string(raw)]);
  const asked: Buffer[] = [];
  const answer = (request: Buffer): Buffer => {
    if (request[0] === REQUEST_IDENTITIES) {
      return message(IDENTITIES_ANSWER, uint32(1), string(blob), string(comment));
    }
    const data = stringAt(request, 1 + 4 + blob.length);
    asked.push(data);
    const signature = sign(null, data, privateKey);
    return message(SIGN_RESPONSE, string(Buffer.concat([string('ssh-ed25519'), string(signature)])));
  };
  const server = createServer((socket) => void serve(socket, answer));
  const path = (await scope.directory())('agent.sock');
  server.listen(path);
  await once(server, 'listening');
  scope.defer(() => server.close());
  const [signer] = await new SshAgent(path).signers();
  if (signer === undefined) throw new Error('the agent lists no key');
  return { signer, privateKey, line: `${formatPublicKey(signer.identity)}`, asked };
}

async function serve(socket: Socket, answer: (request: Buffer) => Buffer): Promise<void> {
  let held: Buffer = Buffer.alloc(0);
  socket.on('error', () => undefined);
  for await (const chunk of socket) {
    held = Buffer.concat([held, chunk as Buffer]);
    while (held.length >= 4 && held.length >= 4 + held.readUInt32BE(0)) {
      const length = held.readUInt32BE(0);
      socket.write(answer(held.subarray(4, 4 + length)));
      held = held.subarray(4 + length);
    }
  }
}

const REQUEST_IDENTITIES = 11;
const IDENTITIES_ANSWER = 12;
const SIGN_RESPONSE = 14;

function message(type: number, ...parts: Buffer[]): Buffer {
  return string(Buffer.concat([Buffer.of(type), ...parts]));
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A string as SSH writes it. */
export function string(bytes: Buffer | string): Buffer {
  return Buffer.concat([uint32(bytes.length), Buffer.from(bytes)]);
}

function stringAt(bytes: Buffer, at: number): Buffer {
  return bytes.subarray(at + 4, at + 4 + bytes.readUInt32BE(at));
}
