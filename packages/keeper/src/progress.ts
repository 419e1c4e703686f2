import type { KeyHolder, RunSecret, Secret, SpipedTurn, Step } from '@keymux/keys';
import type { AuditEntry } from './audit.ts';
import type { SecretHead, StepHead, TurnHead } from './messages.ts';

/** What one step of a run has brought: what the caller is told, and what is written down before. */
export interface Progress {
  readonly head: Omit<StepHead, 'id' | 'run'> | Omit<TurnHead, 'id' | 'run'>;
  /** For the caller; to be wiped when they are sent. */
  readonly secrets: readonly Secret[];
  /** For the peer. */
  readonly data: Uint8Array | undefined;
  readonly audit: readonly Pick<AuditEntry, 'event' | 'peer' | 'level'>[];
  /** Undefined if the run is over. */
  readonly next: Next | undefined;
}

/** A run that awaits a message of the peer. */
export interface Next {
  /** How many bytes that has, where it is known. */
  readonly awaits: number | undefined;
  goOn(message: Uint8Array): Promise<Progress>;
  forget(): void;
}

/** Of the negotiation of a key (spec chapter 3). */
export function stepProgress(keeper: KeyHolder, { run, done, send, secrets }: Step): Progress {
  const answer = send && { send: { fin: send.fin, reject: send.reject ?? false } };
  return {
    head: { type: 'step', done, ...answer, secrets: secrets.map(headOf) },
    secrets: secrets.map(({ secret }) => secret),
    data: send?.data,
    audit: [
      ...(send?.reject ? [{ event: 'rejected' as const }] : []),
      ...secrets.map(({ peer, level }) => ({ event: 'key' as const, peer, level })),
    ],
    next: done
      ? undefined
      : {
          awaits: undefined,
          goOn: async (frame) => stepProgress(keeper, await keeper.receive(run, frame)),
          forget: () => keeper.abandon(run),
        },
  };
}

/** Of a handshake of spiped (spec chapter 11) with the key of this label. */
export function turnProgress(label: string, { send, next, keys }: SpipedTurn): Progress {
  return {
    head: { type: 'turn', awaits: next?.bytes ?? 0, keys: keys !== undefined },
    secrets: keys ? [keys] : [],
    data: send,
    audit: keys ? [{ event: 'key', peer: `psk:${label}`, level: 'authenticated' }] : [],
    next: next && {
      awaits: next.bytes,
      goOn: async (message) => {
        try {
          return turnProgress(label, await next.receive(message));
        } finally {
          next.wipe();
        }
      },
      forget: () => next.wipe(),
    },
  };
}

/** What goes with a run secret, without it. */
function headOf({ secret: _, ...head }: RunSecret): SecretHead {
  return head;
}
