import { ALGORITHMS } from './algorithms.ts';
import { keyFailure } from './errors.ts';
import type { Step } from './keeper.ts';
import type { ClientGate } from './negotiation-gate.ts';
import type { Run } from './run.ts';

/**
 * Puts the next step of a run into the keeper's hands by `question`, when it is the turn of this client, and accounts for the work. Undefined if the run was over
 * before its turn came. Rejects with what the keeper rejects with, or KeyError (session) if its answer is none.
 */
export async function keeperStep(
  run: Run,
  gate: ClientGate | undefined,
  question: () => Promise<Step>,
): Promise<Step | undefined> {
  const work = workOf(run);
  const turn = gate?.turn(work);
  if (turn !== undefined) {
    await turn;
    if (run.phase === 'over') return undefined;
  }
  const step = checkedStep(await question());
  if (!step.send?.reject) run.pass?.spend(work);
  return step;
}

/** Tokens for the step that a run has come to. */
function workOf({ context, heardLast }: Run): number {
  if (heardLast === undefined) return 1;
  return ALGORITHMS.get(context.algorithm)?.messages[heardLast]?.work ?? 0;
}

/** A keeper may be another program: what it answers is looked at before it is used. Throws KeyError, or TypeError for what is no answer at all. */
function checkedStep(step: Step): Step {
  const { run, secrets, send } = step;
  const sound = send === undefined || send.data instanceof Uint8Array;
  if (!Number.isInteger(run) || !Array.isArray(secrets) || !sound) {
    throw keyFailure('keeper', 'its answer is malformed');
  }
  return step;
}
