import type { Restrictions } from './identity/restrictions.ts';
import type { Level, ProvenIdentity } from './keeper.ts';
import type { StateSink, StateSource } from './state-port.ts';

/** What is known about an established key. */
export interface KeyInfo {
  readonly keyId: number;
  readonly generation: number;
  /** How strongly the peer is proven: `none` until a responder has opened the envelope that proves it (spec 3.8). */
  readonly level: Level;
  /** What arrives under this generation may be a replay (spec 3.7). */
  readonly early: boolean;
  /** Early data only: it may have been accepted by this side before, which knows only what came since it was started (spec 3.7). */
  readonly mayRepeat?: true;
  readonly algorithm: number;
  readonly label: string;
  /** Host that the key speaks for; empty for a connection key. */
  readonly authority: string;
  /** Who is proven, for people: `psk:<label>`, or `anonymous` for nobody. */
  readonly peer: string;
  /** The SSH identity that is proven, if the algorithm proves one. */
  readonly identity?: ProvenIdentity;
  readonly forwardSecrecy: boolean;
  /** What its holder may not do. */
  readonly restrictions?: Restrictions;
}

/** For comparison: by level, then forward secrecy. */
export function strength({ level, forwardSecrecy }: KeyInfo): number {
  return LEVELS.indexOf(level) * 2 + (forwardSecrecy ? 1 : 0);
}

export function saveKeyInfo(writer: StateSink, info: KeyInfo): void {
  writer.u8(info.keyId);
  writer.u8(info.generation);
  writer.u8(LEVELS.indexOf(info.level));
  writer.flag(info.early);
  writer.flag(info.mayRepeat ?? false);
  writer.u8(info.algorithm);
  writer.text(info.label);
  writer.text(info.authority);
  writer.text(info.peer);
  writer.optional(info.identity, ({ fingerprint, name }) => {
    writer.text(fingerprint);
    writer.text(name);
  });
  writer.flag(info.forwardSecrecy);
  writer.optional(info.restrictions, ({ permitOpen }) => {
    writer.optional(permitOpen, (places) => writer.list(places, (place) => writer.text(place)));
  });
}

export function loadKeyInfo(reader: StateSource): KeyInfo {
  const keyId = reader.u8();
  const generation = reader.u8();
  const level = LEVELS[reader.u8(LEVELS.length - 1)] as Level;
  const early = reader.flag();
  const mayRepeat = reader.flag();
  const algorithm = reader.u8();
  const [label, authority, peer] = [reader.text(), reader.text(), reader.text()];
  const identity = reader.optional(() => ({ fingerprint: reader.text(), name: reader.text() }));
  const forwardSecrecy = reader.flag();
  const restrictions = reader.optional(() => loadRestrictions(reader));
  return {
    ...{ keyId, generation, level, early, algorithm, label, authority, peer, forwardSecrecy },
    ...(mayRepeat && { mayRepeat }),
    ...(identity && { identity }),
    ...(restrictions && { restrictions }),
  };
}

/** What is absent must stay absent: an empty list allows nothing, none at all everything. */
function loadRestrictions(reader: StateSource): Restrictions {
  const permitOpen = reader.optional(() => {
    const places: string[] = [];
    reader.list(() => places.push(reader.text()));
    return places;
  });
  return permitOpen === undefined ? {} : { permitOpen };
}

const LEVELS: readonly Level[] = ['none', 'passive', 'authenticated'];
