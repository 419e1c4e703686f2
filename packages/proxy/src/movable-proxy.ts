import type { Socket } from 'node:net';
import { StateReader, StateWriter } from '@keymux/frames';
import { UsageError } from '@keymux/session';
import type { Movable, MuxSession, MuxStream } from '@keymux/streams';
import type { Tunnel } from './tunnel.ts';

/** A session of a proxy, and what goes on in it. */
export interface ProxySession {
  readonly session: MuxSession;
  readonly peer: string;
  /** Who it counts for. */
  readonly client: string;
  readonly tunnels: Set<Tunnel>;
  /** Streams whose CONNECT is not answered yet. */
  readonly asking: Set<MuxStream>;
}

/** What of a session with tunnels has come from another process (spec 13.11). */
export interface MovedTunnels {
  /** Of the session itself. */
  readonly state: Uint8Array;
  readonly tunnels: readonly {
    readonly streamId: number;
    /** Of the socket to its destination. */
    readonly place: number;
    /** What the destination has yet to be sent. */
    readonly unsent: readonly Uint8Array[];
  }[];
  /** Streams whose CONNECT is to be answered from the start. */
  readonly asking: ReadonlySet<number>;
}

/** A session of a proxy with its tunnels. */
export class MovableProxySession implements Movable {
  readonly kind = 'proxy';
  readonly #proxied: ProxySession;

  constructor(proxied: ProxySession) {
    this.#proxied = proxied;
  }

  get sockets(): readonly Socket[] {
    const { session, tunnels } = this.#proxied;
    return [session.carrier as Socket, ...[...tunnels].map(({ socket }) => socket)];
  }

  ready(signal: AbortSignal): Promise<void> {
    return this.#proxied.session.movable(signal);
  }

  handOver(name: Uint8Array, placeOf: (socket: Socket) => number): Uint8Array {
    const { session, tunnels, asking } = this.#proxied;
    // Why it has closed is known here alone, and told in a moment.
    if ([...tunnels].some(({ socket, stream }) => socket.destroyed && !stream.destroyed))
      throw new UsageError('ERR_KEYMUX_HAND_OVER', 'a connection has just closed');
    if (session.handOverObstacle === undefined) for (const tunnel of tunnels) tunnel.settle();
    const state = session.handOver(name);
    const writer = new StateWriter();
    writer.bytes(state);
    state.fill(0);
    // The stream of another tunnel is over, and what it has brought is still on its way to the destination. That goes on here.
    writer.list([...tunnels].filter(isHandedOver), (tunnel) => {
      writer.u32(tunnel.stream.id);
      writer.u32(placeOf(tunnel.socket));
      writer.list(tunnel.release(), (bytes) => writer.bytes(bytes));
    });
    writer.list(
      [...asking].filter((stream) => isHandedOver({ stream })),
      ({ id }) => writer.u32(id),
    );
    return writer.finish();
  }

  stay(): void {}
}

/** Whether a stream has gone to another process. */
export function isHandedOver({ stream }: Pick<Tunnel, 'stream'>): boolean {
  return (stream.errored as { code?: unknown } | null)?.code === 'ERR_KEYMUX_HANDED_OVER';
}

/** Reads what `handOver` wrote, and wipes it. Throws UsageError `ERR_KEYMUX_HAND_OVER`. */
export function readTunnels(saved: Uint8Array): MovedTunnels {
  try {
    const reader = new StateReader(saved);
    const state = reader.bytes();
    const tunnels: MovedTunnels['tunnels'][number][] = [];
    reader.list(() => {
      const [streamId, place] = [reader.u32(), reader.u32()];
      const unsent: Uint8Array[] = [];
      reader.list(() => unsent.push(reader.bytes()));
      tunnels.push({ streamId, place, unsent });
    });
    const asking = new Set<number>();
    reader.list(() => asking.add(reader.u32()));
    reader.end();
    return { state, tunnels, asking };
  } catch {
    throw new UsageError(
      'ERR_KEYMUX_HAND_OVER',
      'the saved tunnels cannot be used: a field is not what it may be',
    );
  } finally {
    saved.fill(0);
  }
}
