import type { Restrictions } from './identity/restrictions.ts';
import type { Level, ProvenIdentity } from './keeper.ts';

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
