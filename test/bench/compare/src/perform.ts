import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { ClientCommand, Numbers } from './commands.ts';
import type { Contender } from './contender.ts';
import { Stage } from './stage.ts';
import type { Play, Scale, Work } from './work.ts';

export interface Audience {
  begun(work: Work): void;
  measured(work: Work, numbers: Numbers): void;
  failed(work: Work, error: Error): void;
}

export interface Manner {
  readonly scale: Scale;
  /** Directory for CPU profiles. */
  readonly profiles: string | undefined;
}

const COMMAND_TIMEOUT = 120_000;

/** Has the processes of a contender do works of a kind, one after the other. If one fails, others do the rest. */
export async function perform(
  contender: Contender,
  works: readonly Work[],
  manner: Manner,
  audience: Audience,
): Promise<void> {
  for (let left = works; left.length > 0; ) {
    const failed = await performOnStage(contender, left, manner, audience);
    left = failed === undefined ? [] : left.slice(left.indexOf(failed) + 1);
  }
}

/** Returns the work that failed. */
async function performOnStage(
  contender: Contender,
  works: readonly Work[],
  { scale, profiles }: Manner,
  audience: Audience,
): Promise<Work | undefined> {
  let now = works[0] as Work;
  const stage = new Stage({ linked: now.kind === 'links', profiles });
  try {
    const part = await contender.start(stage);
    const { child } = await stage.node('client', part.module, 'client', part.params);
    const play: Play = { contender, stage, command: (command) => ask(child, command) };
    for (const work of works) {
      now = work;
      audience.begun(work);
      audience.measured(work, await work.measure(play, scale));
    }
    return undefined;
  } catch (error) {
    audience.failed(now, error as Error);
    return now;
  } finally {
    await stage.close();
  }
}

async function ask(child: ChildProcess, command: ClientCommand): Promise<Numbers> {
  const over = new AbortController();
  const late = setTimeout(() => over.abort(), COMMAND_TIMEOUT);
  const { signal } = over;
  try {
    const answered = once(child, 'message', { signal }) as Promise<[{ result?: Numbers; error?: string }]>;
    const ended = once(child, 'exit', { signal }).then(() => {
      throw new Error('the client process ended');
    });
    ended.catch(() => undefined);
    child.send(command);
    const [{ result, error }] = await Promise.race([answered, ended]);
    if (result === undefined) throw new Error(error);
    return result;
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new Error(`nothing came of "${command.do}" in ${COMMAND_TIMEOUT / 1000} s`);
  } finally {
    clearTimeout(late);
    over.abort();
  }
}
