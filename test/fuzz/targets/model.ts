import { Model } from '../model/model.ts';
import { type Play, plays } from '../model/play.ts';
import { target } from '../target.ts';

/** Two sides do random legal things; see the model. */
export const model = target<Play>({
  name: 'model',
  cases: plays(false),
  check: (play) => Model.play(play, false),
  runs: 50,
});
