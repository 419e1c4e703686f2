import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Duplex } from 'node:stream';
import { UpgradeError } from './errors.ts';
import { withSignal } from './with-signal.ts';

/** The name of the protocol in HTTP's `Upgrade` header (spec 6.3). Compared without regard to case. */
export const UPGRADE_TOKEN = 'SPDY/3.1';
const TIMEOUT = 10_000;

/**
 * Opens a carrier with an HTTP/1.1 request that asks for `Upgrade: SPDY/3.1`. Rejects with UpgradeError if the server answers anything
 * but 101, with the error of the connection, or with the signal's reason.
 */
export function connectUpgrade(
  url: URL,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<Duplex> {
  return withSignal(options.signal, (resolve, reject) => {
    const ask = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const request = ask(url, {
      headers: { connection: 'Upgrade', upgrade: UPGRADE_TOKEN },
      agent: false,
      timeout: TIMEOUT,
      ...{ allowHalfOpen: true }, // reaches net.connect, though its types do not say so
    });
    request.once('error', reject);
    request.once('timeout', () => request.destroy(new UpgradeError(`${url.host} does not answer`)));
    request.once('response', (response) => {
      request.destroy(
        new UpgradeError(
          `${url.host} answers ${response.statusCode}, so it does not speak ${UPGRADE_TOKEN} there`,
        ),
      );
    });
    request.once('upgrade', (response, socket, head) => {
      request.off('error', reject);
      if (!offers(response, UPGRADE_TOKEN)) {
        socket.destroy();
        reject(new UpgradeError(`${url.host} changes to another protocol than ${UPGRADE_TOKEN}`));
        return;
      }
      socket.setTimeout(0);
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    request.end();
    return () => request.destroy();
  });
}

/** Agrees to a request for `Upgrade: SPDY/3.1`; what follows it on the connection is the session. */
export function acceptUpgrade(socket: Duplex, head: Buffer): Duplex {
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${UPGRADE_TOKEN}\r\n\r\n`,
  );
  if (head.length > 0) socket.unshift(head);
  return socket;
}

/** Whether a message has the protocol in its list of what to change to. */
export function offers({ headers }: IncomingMessage, protocol: string): boolean {
  const offered = (headers.upgrade ?? '').split(',');
  return offered.some((name) => name.trim().toLowerCase() === protocol.toLowerCase());
}
