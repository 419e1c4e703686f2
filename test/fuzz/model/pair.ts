import { createHash } from 'node:crypto';
import { ALGORITHM, type KeyLogEntry, KeyRegistry, Keyring, LocalKeeper, PreSharedKey } from '@keymux/keys';
import { type Role, Session, type SessionConfig, type SessionEvent } from '@keymux/session';
import { seeded } from '../internals.ts';
import { Ledger } from './ledger.ts';

export const LABEL = 'shared';
export const AUTHORITIES = ['', 'host'];
const DAY = 86_400_000;

/** One engine with real keys, what it has put on the wire, and what it has heard. */
export class End {
  readonly role: Role;
  readonly keys: KeyRegistry | undefined;
  readonly session: Session;
  readonly ledger: Ledger;
  /** Bytes on their way to the peer. */
  flight = Buffer.alloc(0);
  /** Payload that has come, by stream. */
  readonly received = new Map<number, Buffer>();

  constructor(role: Role, withKeys: boolean, config: Partial<SessionConfig>, keyLog: KeyLogEntry[]) {
    this.role = role;
    this.keys = withKeys ? registry(role, keyLog) : undefined;
    this.session = new Session({
      role,
      config: { keepAlive: 0, drainTimeout: DAY, algorithms: withKeys ? 0b101010 : 0, ...config },
      ...(this.keys ? { keys: this.keys, createHash: () => createHash('sha256') } : {}),
      now: 0,
    });
    if (this.keys) this.keys.onProgress = () => this.session.keysProgressed(0);
    this.ledger = new Ledger(role, keyLog);
  }

  /** Puts output on its way; `most` as for the engine. `counted` says that the ledger knows all that has been delivered. */
  put(most: number | undefined, counted: boolean): void {
    const parts = this.session.output(most);
    if (parts === undefined) return;
    const bytes = Buffer.concat(parts);
    if (counted) this.ledger.sent(bytes);
    this.flight = Buffer.concat([this.flight, bytes]);
  }

  *events(): Generator<SessionEvent> {
    for (let event = this.session.nextEvent(); event !== undefined; event = this.session.nextEvent()) {
      if (event.type === 'data') {
        const before = this.received.get(event.id) ?? Buffer.alloc(0);
        this.received.set(event.id, Buffer.concat([before, event.payload]));
      }
      yield event;
    }
  }
}

function registry(role: Role, keyLog: KeyLogEntry[]): KeyRegistry {
  const keyring = new Keyring();
  keyring.add(new PreSharedKey(seeded('the key of both')(32)), { label: LABEL, authorities: AUTHORITIES });
  const keeper = new LocalKeeper({
    keyring,
    anonymous: AUTHORITIES,
    algorithms: [ALGORITHM.PSK, ALGORITHM.PSK_X25519],
    replaysKnownSince: 0,
  });
  return new KeyRegistry({
    role,
    keeper,
    runTimeout: DAY,
    keyLog: (_, entry) => void keyLog.push(entry()),
  });
}
