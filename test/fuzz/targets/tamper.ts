import { Model } from '../model/model.ts';
import { type Play, plays } from '../model/play.ts';
import { target } from '../target.ts';

/** The same with somebody on the way who changes, drops, repeats and adds bytes: what arrives sealed is what was sent, or nothing. */
export const tamper = target<Play>({
  name: 'tamper',
  cases: plays(true),
  check: (play) => Model.play(play, true),
  runs: 40,
});
