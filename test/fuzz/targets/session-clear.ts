import { mustEqual } from '../checks.ts';
import { type Script, scripts } from '../session/script.ts';
import { play } from '../session/scripted-session.ts';
import { target } from '../target.ts';

/** An engine without keys, in either role, whatever its peer and its user do: it goes on, or ends with one error; however bytes are cut. */
export const sessionClear = target<Script>({
  name: 'session-clear',
  cases: scripts(17),
  check: (script) => {
    const whole = play(script, false, false);
    mustEqual(play(script, false, true), whole, 'in pieces');
  },
  runs: 60,
});
