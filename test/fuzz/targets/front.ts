import { createHash } from 'node:crypto';
import { type FrontLink, FrontSession, type HostPort } from '@keymux/session';
import fc from 'fast-check';
import { FRAMES } from '../../support/frame-arbitraries.ts';
import { type ReferenceFrame, referenceDecode, referenceEncode } from '../../support/reference-codec.ts';
import { CUTS, cut, DAMAGE, type Damage, damaged, must, mustBeTyped, mustEqual, pick } from '../checks.ts';
import { target } from '../target.ts';

interface Step {
  readonly act: number;
  readonly bytes: Uint8Array;
  readonly damage: readonly Damage[];
  readonly cuts: readonly number[];
  readonly which: number;
}

const HOSTS = ['alpha.test', 'beta.test', 'gamma.test', ''];

/** The first message of a run for a host. */
const nego = fc
  .tuple(fc.nat(6), fc.constantFrom(...HOSTS), fc.boolean())
  .map(([id, host, fin]): ReferenceFrame => {
    const data = Buffer.concat([
      Buffer.of(0, 0, 0, 8, 3),
      Buffer.from('key'),
      Buffer.of(host.length),
      Buffer.from(host),
    ]);
    const flags = { fin, reject: false, retire: false, renegotiate: false };
    return { type: 'key-nego', keyId: 1 + id, algorithm: 3, ...flags, data: data.toString('hex') };
  });
const sealed = fc
  .nat(6)
  .map((id): ReferenceFrame => ({ type: 'sealed', keyId: 1 + id, generation: 0, body: '00'.repeat(30) }));
const fromClient = fc.oneof({ weight: 4, arbitrary: nego }, { weight: 3, arbitrary: sealed }, FRAMES.outside);
const fromHost = fc.oneof({ weight: 3, arbitrary: nego }, { weight: 3, arbitrary: sealed }, FRAMES.link);
const encoded = (frames: readonly ReferenceFrame[]): Uint8Array =>
  new Uint8Array(Buffer.concat(frames.map(referenceEncode)));

const step: fc.Arbitrary<Step> = fc.boolean().chain((client) =>
  fc.record({
    act: client ? fc.nat(3) : fc.integer({ min: 4, max: 10 }),
    bytes: fc.array(client ? fromClient : fromHost, { maxLength: 3 }).map(encoded),
    damage: fc.oneof({ weight: 9, arbitrary: fc.constant([]) }, fc.array(DAMAGE, { maxLength: 1 })),
    cuts: CUTS,
    which: fc.nat(50),
  }),
);

/** A front between a client and hosts that may all be anything: no frame of a key goes to another host than its own, and who breaks the rules ends his own end. */
export const front = target<{ steps: readonly Step[] }>({
  name: 'front',
  cases: fc.record({ steps: fc.array(step, { maxLength: 15 }) }),
  check: ({ steps }) => {
    const whole = new Scene(false).play(steps);
    mustEqual(new Scene(true).play(steps), whole, 'in pieces');
  },
  runs: 100,
});

interface Host {
  readonly authority: string;
  readonly link: FrontLink;
  readonly written: Buffer[];
  buffered: number;
  ended: boolean;
}

class Scene {
  readonly #pieces: boolean;
  readonly #hosts: Host[] = [];
  readonly #toClient: Buffer[] = [];
  readonly #log: string[] = [];
  readonly #session: FrontSession;
  #now = 0;
  #lastKeyId = 0;

  constructor(pieces: boolean) {
    this.#pieces = pieces;
    this.#session = new FrontSession({
      algorithms: 8,
      createHash: () => createHash('sha256'),
      client: { address: '', port: 0 },
      connect: (authority, link) => this.#connect(authority, link),
      now: 0,
    });
  }

  play(steps: readonly Step[]): readonly string[] {
    for (const step of steps) {
      this.#step(step);
      this.#look();
    }
    this.#session.carrierEnded(this.#now);
    this.#look();
    must(this.#session.over || this.#session.error === undefined, 'an error is an end');
    if (this.#session.over) {
      this.#session.receive(Uint8Array.of(0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1), this.#now);
      must(this.#session.output() === undefined, 'there is output after the last words');
      must(this.#session.nextDeadline() === undefined, 'nothing is waited for');
      for (const host of this.#hosts) must(host.ended, 'no link outlives the session');
    }
    this.#checkWhatWasSaid();
    return this.#log;
  }

  #connect(authority: string, link: FrontLink): HostPort | undefined {
    if (!HOSTS.slice(0, 2).includes(authority)) return undefined;
    const host: Host = { authority, link, written: [], buffered: 0, ended: false };
    this.#hosts.push(host);
    const end = (): void => {
      host.ended = true;
    };
    return {
      get buffered() {
        return host.buffered;
      },
      write: (parts) => {
        must(!host.ended, 'nothing is written to a link that has ended');
        host.written.push(Buffer.concat(parts));
      },
      end,
      destroy: end,
    };
  }

  #step({ act, bytes, damage, cuts, which }: Step): void {
    const host = pick(this.#hosts, which);
    const pieces = cut(damaged(bytes, damage), this.#pieces ? cuts : []);
    switch (Math.abs(act) % 11) {
      case 4:
      case 5:
      case 6:
      case 7:
        for (const piece of pieces) if (host) this.#session.linkReceive(host.link, piece, this.#now);
        return;
      case 8:
        if (host)
          this.#session.linkEnded(host.link, this.#now, which % 2 === 0 ? new Error('cut') : undefined);
        return;
      case 9:
        this.#now += which * 400;
        this.#session.handleDeadline(this.#now);
        return;
      case 10:
        if (which % 10 === 0) this.#session.goAway(this.#now);
        else if (host && which % 10 === 1) host.buffered = 2 ** 30;
        return;
      default:
        for (const piece of pieces) this.#session.receive(piece, this.#now);
    }
  }

  #look(): void {
    for (let out = this.#session.output(); out !== undefined; out = this.#session.output())
      this.#toClient.push(Buffer.concat(out));
    for (let event = this.#session.nextEvent(); event !== undefined; event = this.#session.nextEvent()) {
      this.#log.push(JSON.stringify(event));
      if (event.type !== 'run') continue;
      must(event.keyId % 2 === 1 && event.keyId > this.#lastKeyId, `a run of key ${event.keyId} begins`);
      this.#lastKeyId = event.keyId;
    }
    if (this.#session.error !== undefined) mustBeTyped(this.#session.error);
  }

  /** Everything that was written is frames, and every frame of a key was on the link that has it. */
  #checkWhatWasSaid(): void {
    const client = referenceDecode(Buffer.concat(this.#toClient), 'outside', true);
    mustEqual([client.error, client.midFrame], [undefined, false], 'what the client is sent');
    for (const { link, written } of this.#hosts) {
      const said = referenceDecode(Buffer.concat(written), 'link', true);
      mustEqual([said.error, said.midFrame], [undefined, false], 'what a host is sent');
      for (const frame of said.frames) {
        if (frame.type === 'sealed')
          must(link.keys.has(frame.keyId as number), 'an envelope is for its own host');
        if (frame.type !== 'front-nego') continue;
        const keyId = Buffer.from(frame.frame as string, 'hex')[8] as number;
        must(link.keys.has(keyId), 'a run is for its own host');
      }
    }
    const owners = this.#hosts.flatMap(({ link }) => [...link.keys]);
    mustEqual(new Set(owners).size, owners.length, 'owners of keys');
    this.#log.push(createHash('sha256').update(Buffer.concat(this.#toClient)).digest('hex'));
  }
}
