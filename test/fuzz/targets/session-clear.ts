import { mustEqual } from '../checks.ts';
import { play, type Script, scripts } from '../scripted-session.ts';
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
