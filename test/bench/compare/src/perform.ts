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
  /** Works whose numbers do not depend on what was done before are done by the same processes: quicker, and less exact. */
  readonly together: boolean;
  /** Directory for CPU profiles. */
  readonly profiles: string | undefined;
}

const COMMAND_TIMEOUT = 120_000;

/** Has a contender do works, each with processes of its own unless told otherwise, so that none inherits what another left. */
export async function perform(
  contender: Contender,
  works: readonly Work[],
  manner: Manner,
  audience: Audience,
): Promise<void> {
  const shared = manner.together ? works.filter(({ link, alone }) => link === undefined && !alone) : [];
  const apart = works.filter((work) => !shared.includes(work));
  for (const group of [shared, ...apart.map((work) => [work])])
    if (group.length > 0) await performOnStage(contender, group, manner, audience);
}

async function performOnStage(
  contender: Contender,
  works: readonly Work[],
  { scale, profiles }: Manner,
  audience: Audience,
): Promise<void> {
  let now = works[0] as Work;
  const stage = new Stage(now.link, profiles);
  try {
    const part = await contender.start(stage);
    const { child } = await stage.node('client', part.module, 'client', part.params);
    const play: Play = { stage, command: (command) => ask(child, command) };
    for (const work of works) {
      now = work;
      audience.begun(work);
      audience.measured(work, await work.measure(play, scale));
    }
  } catch (error) {
    audience.failed(now, error as Error);
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
