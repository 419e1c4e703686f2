import { mustEqual } from '../checks.ts';
import { type Script, scripts } from '../session/script.ts';
import { play } from '../session/scripted-session.ts';
import { target } from '../target.ts';

/** The same with keys, which the peer holds and misuses: frames of every kind in every place, keys that come, stall and are retired. */
export const sessionSealed = target<Script>({
  name: 'session-sealed',
  cases: scripts(22),
  check: (script) => {
    const whole = play(script, true, false);
    mustEqual(play(script, true, true), whole, 'in pieces');
  },
  runs: 80,
});
