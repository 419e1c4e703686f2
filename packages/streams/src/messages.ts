import type { HeaderList } from '@keymux/frames';

/** A request as SYN_STREAM carries it (spec 2.3). */
export interface RequestHead {
  readonly method: string;
  readonly path: string;
  /** Host name, with `:port` if it is not the default; `host:port` for CONNECT. */
  readonly host: string;
  readonly scheme: string;
  readonly headers: HeaderList;
}

/** An answer as SYN_REPLY carries it. */
export interface ResponseHead {
  readonly status: number;
  readonly reason: string;
  readonly headers: HeaderList;
}

/** A head that is not a valid HTTP message. The message says what is wrong, without the value. */
export class MessageError extends Error {
  override readonly name = 'MessageError';
  readonly code = 'ERR_KEYMUX_MESSAGE';
}

/** Headers of one HTTP/1 connection; they have no meaning in a stream and must not be passed on (RFC 9110, 7.6.1). */
const HOP_BY_HOP = new Set([
  'connection',
  'host',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
const METHOD = /^[A-Z]{1,32}$/;
/** A DNS name, an IPv4 address or a bracketed IPv6 address, with an optional port. */
const HOST = /^(?:[a-z0-9](?:[a-z0-9._-]{0,251}[a-z0-9])?\.?|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?$/;
const PATH = /^(?:\/[\x21-\x7e]*|\*)$/;

/** The first value of a header. */
export function headerValue(headers: HeaderList, name: string): string | undefined {
  return headers.find(([key]) => key === name)?.[1];
}

export function isHopByHop(name: string): boolean {
  return HOP_BY_HOP.has(name);
}

export function encodeRequest(request: RequestHead): HeaderList {
  return [
    [':method', request.method],
    [':path', request.path],
    [':version', 'HTTP/1.1'],
    [':host', request.host],
    [':scheme', request.scheme],
    ...plainHeaders(request.headers),
  ];
}

export function encodeResponse(status: number, reason: string, headers: HeaderList = []): HeaderList {
  return [[':status', `${status} ${reason}`.trim()], [':version', 'HTTP/1.1'], ...plainHeaders(headers)];
}

/** Takes a request head apart. Throws MessageError. */
export function decodeRequest(headers: HeaderList): RequestHead {
  const pseudo = pseudoHeaders(headers, [':method', ':path', ':version', ':host', ':scheme']);
  const method = pseudo.get(':method') ?? '';
  const path = pseudo.get(':path') ?? '';
  if (!METHOD.test(method)) throw new MessageError(':method is missing, or not a method');
  if (method === 'CONNECT') {
    const host = path.toLowerCase();
    if (!HOST.test(host) || (pseudo.get(':host')?.toLowerCase() ?? host) !== host) {
      throw new MessageError(':path of CONNECT must be host:port, and :host the same if present');
    }
    return { method, path: host, host, scheme: '', headers: ordinary(headers) };
  }
  const host = (pseudo.get(':host') ?? '').toLowerCase();
  if (!PATH.test(path)) throw new MessageError(':path is missing, or not an absolute path');
  if (!HOST.test(host)) throw new MessageError(':host is missing, or not a host');
  if (headerValue(headers, 'host') !== undefined) throw new MessageError('a "host" header beside :host');
  return { method, path, host, scheme: pseudo.get(':scheme') ?? 'http', headers: ordinary(headers) };
}

/** The host of `:host` alone, in lower case, as keys speak for it: without a port, a dot at its end, and the brackets of an IPv6 address (spec 4.4). */
export function hostnameOf(host: string): string {
  return host
    .toLowerCase()
    .replace(/:[0-9]+$/, '')
    .replace(/\.$/, '')
    .replace(/^\[(.*)\]$/, '$1');
}

/** Takes an answer's head apart. Throws MessageError. */
export function decodeResponse(headers: HeaderList): ResponseHead {
  const status = /^([1-9][0-9]{2})(?: (.*))?$/.exec(
    pseudoHeaders(headers, [':status', ':version']).get(':status') ?? '',
  );
  if (status === null) throw new MessageError(':status is missing, or not a status');
  return { status: Number(status[1]), reason: status[2] ?? '', headers: ordinary(headers) };
}

function pseudoHeaders(headers: HeaderList, known: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const [name, value] of headers) {
    if (!name.startsWith(':')) continue;
    if (!known.includes(name)) throw new MessageError(`${name.slice(0, 64)} has no place in this message`);
    if (found.has(name)) throw new MessageError(`${name} occurs twice`);
    found.set(name, value);
  }
  return found;
}

function ordinary(headers: HeaderList): HeaderList {
  return headers.filter(([name]) => !name.startsWith(':') && !isHopByHop(name));
}

function plainHeaders(headers: HeaderList): HeaderList {
  return headers
    .map(([name, value]) => [name.toLowerCase(), value] as const)
    .filter(([name]) => !isHopByHop(name));
}
