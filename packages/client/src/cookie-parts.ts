import { isAsStrongAs, type Protection } from '@keymux/streams';
import { Cookie, CookieJar } from 'tough-cookie';
import { z } from 'zod';
import type { CookiePlace } from './cookies.ts';

/** What of a protection counts for cookies. */
const learnedSchema = z.strictObject({
  level: z.enum(['none', 'passive', 'authenticated']),
  reach: z.enum(['hop', 'end-to-end']).nullable(),
  forwardSecrecy: z.boolean(),
  peer: z.strictObject({ kind: z.enum(['shared-key', 'ssh']), id: z.string() }).nullable(),
});
/** The rest of a cookie's fields are tough-cookie's. */
const cookieSchema = z.looseObject({
  key: z.string(),
  value: z.string(),
  domain: z.string(),
  path: z.string(),
});
const partSchema = z.strictObject({ learned: learnedSchema, cookies: z.array(cookieSchema) });

export const cookieFileSchema = z.strictObject({ version: z.literal(1), parts: z.array(partSchema) });

export type StoredCookies = z.output<typeof cookieFileSchema>;
type StoredProtection = z.output<typeof learnedSchema>;

/** Cookies that were learned under the same protection. */
interface Part {
  readonly learned: Protection;
  readonly jar: CookieJar;
}

/** Bytes of a cookie, and cookies of a host in one part: what a host can make this side keep. */
const MOST = { size: 4096, cookies: 64 };
const RULES = {
  rejectPublicSuffixes: false, // `Domain` is not honoured at all
  allowSpecialUseDomain: true,
  looseMode: false,
  prefixSecurity: 'strict',
  allowSecureOnLocal: false,
} as const;

/** The cookies of a jar, in parts by what protected the answers that they were learned from: a part is a jar of its own (spec 9.9). */
export class CookieParts {
  readonly #parts: Part[];

  constructor({ parts }: StoredCookies) {
    this.#parts = parts.map(({ learned, cookies }) => ({ learned: restored(learned), jar: jarOf(cookies) }));
  }

  headerFor(place: CookiePlace, request: Protection): string | undefined {
    const found = new Map<string, Cookie[]>();
    // The stronger first: their names are theirs.
    for (const { learned, jar } of this.#parts.toSorted(strongestFirst)) {
      if (!isAsStrongAs(request, learned)) continue;
      const cookies = jar.getCookiesSync(urlOf(place, request));
      const news = cookies.filter(({ key }) => !found.has(key));
      for (const cookie of news) found.set(cookie.key, [...(found.get(cookie.key) ?? []), cookie]);
    }
    const cookies = [...found.values()].flat();
    return cookies.length === 0 ? undefined : cookies.map((cookie) => cookie.cookieString()).join('; ');
  }

  set(place: CookiePlace, lines: readonly string[], head: Protection): void {
    for (const line of lines) {
      const cookie = line.length <= MOST.size ? Cookie.parse(line) : undefined;
      if (cookie !== undefined) this.#set(place, cookie, head);
    }
  }

  #set(place: CookiePlace, cookie: Cookie, head: Protection): void {
    // Other hosts have other keys: what one learns is not for its neighbours.
    cookie.domain = null;
    const url = urlOf(place, head);
    for (const { learned, jar } of this.#parts) {
      if (!isWeaker(head, learned)) continue;
      if (cookiesOf(jar, place).some(({ key }) => key === cookie.key)) return;
    }
    const own = this.#partFor(head);
    const kept = own.jar.setCookieSync(cookie, url, { ignoreError: true });
    if (kept === undefined) return;
    for (const part of this.#parts) {
      if (part !== own && isAsStrongAs(head, part.learned)) remove(part.jar, kept);
    }
    this.#trim(own.jar, place);
  }

  #partFor(head: Protection): Part {
    const known = this.#parts.find(({ learned }) => isSame(learned, head));
    if (known !== undefined) return known;
    const part = { learned: head, jar: new CookieJar(undefined, RULES) };
    this.#parts.push(part);
    return part;
  }

  /** The oldest go. Those of other parts do not, so that a weaker answer cannot push out what a stronger one has set. */
  #trim(jar: CookieJar, place: CookiePlace): void {
    const cookies = cookiesOf(jar, place).toSorted((a, b) => ageOf(a) - ageOf(b));
    for (const cookie of cookies.slice(0, Math.max(0, cookies.length - MOST.cookies))) remove(jar, cookie);
  }

  toStored(): StoredCookies {
    const parts = this.#parts.map(({ learned, jar }) => ({
      learned: stored(learned),
      cookies: jar.serializeSync()?.cookies as StoredCookies['parts'][number]['cookies'],
    }));
    return { version: 1, parts: parts.filter(({ cookies }) => cookies.length > 0) };
  }
}

/** `Secure` is for those that are proven. */
function urlOf({ hostname, path }: CookiePlace, { level }: Pick<Protection, 'level'>): string {
  const scheme = level === 'authenticated' ? 'https' : 'http';
  return `${scheme}://${hostname}${path.startsWith('/') ? path : '/'}`;
}

/** Whether an answer with such a head may not touch what was learned so, whoever the peers are. */
function isWeaker(head: Protection, learned: Protection): boolean {
  return !isAsStrongAs(head, { ...learned, peer: undefined });
}

function isSame(a: Protection, b: Protection): boolean {
  return isAsStrongAs(a, b) && isAsStrongAs(b, a);
}

function stored({ level, reach, forwardSecrecy, peer }: Protection): StoredProtection {
  return {
    level,
    reach: reach ?? null,
    forwardSecrecy,
    peer: peer ? { kind: peer.kind, id: peer.id } : null,
  };
}

function restored({ level, reach, forwardSecrecy, peer }: StoredProtection): Protection {
  const who = peer === null ? undefined : { ...peer, name: undefined };
  return { level, reach: reach ?? undefined, forwardSecrecy, peer: who, early: false, key: undefined };
}

function strongestFirst(a: Part, b: Part): number {
  return rank(b.learned) - rank(a.learned);
}

function rank({ level, reach, forwardSecrecy }: Protection): number {
  const levels = { none: 0, passive: 4, authenticated: 8 };
  return levels[level] + (reach === 'end-to-end' ? 2 : 0) + (forwardSecrecy ? 1 : 0);
}

function jarOf(cookies: readonly object[]): CookieJar {
  const jar = new CookieJar(undefined, RULES);
  for (const stored of cookies) {
    const cookie = Cookie.fromJSON(stored);
    if (cookie) void jar.store.putCookie(cookie);
  }
  return jar;
}

/** All of a host, whatever their path, also expired ones. */
function cookiesOf(jar: CookieJar, { hostname }: CookiePlace): Cookie[] {
  const options = { allPaths: true, expire: false };
  return jar.getCookiesSync(`https://${hostname}/`, options);
}

function remove(jar: CookieJar, { domain, path, key }: Cookie): void {
  void jar.store.removeCookie(domain ?? '', path ?? '/', key);
}

function ageOf({ creation }: Cookie): number {
  return creation instanceof Date ? creation.getTime() : 0;
}
