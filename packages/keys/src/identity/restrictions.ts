/** What the holder of a key may not do, although it is trusted. */
export interface Restrictions {
  /**
   * `host:port`, the only places that a relay may connect to for it; either may be `*`. Empty allows none, absent all that the relay's own
   * rules allow.
   */
  readonly permitOpen?: readonly string[];
}
