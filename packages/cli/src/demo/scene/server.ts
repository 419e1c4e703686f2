import { join } from 'node:path';
import { type Message, ServerProcess } from '../processes.ts';

export interface Role {
  readonly role: string;
  readonly pid: number;
}

/** A running server of the scene. */
export interface SceneServer {
  readonly port: number;
  readonly processes: readonly Role[];
  stop(): Promise<void>;
}

export interface SceneHost {
  readonly name: string;
  readonly keyFile: string;
  /** What its pages tell, in a file that is no part of a process that does not read it. */
  readonly configFile: string;
}

/** Starts a server that tells what happens. */
export type Start = (host: SceneHost, onEvent: (event: Message) => void) => Promise<SceneServer>;

/** All that the server does in one process. */
export const startSingle: Start = async ({ name, keyFile, configFile }, onEvent) => {
  const args = ['origin', '--key', `${name}=${keyFile}`, '--config', configFile];
  const origin = await ServerProcess.start(args, { onEvent });
  return { port: origin.port, processes: [{ role: 'server', pid: origin.pid }], stop: () => origin.stop() };
};

/** The keys in a process of their own. */
export const startSeparated: Start = async ({ name, keyFile, configFile }, onEvent) => {
  const socket = `unix:${join(keyFile, '..', 'keeper.sock')}`;
  const keeper = await ServerProcess.start(['keeper', '--key', `${name}=${keyFile}`], { listen: socket });
  const args = ['origin', '--host', name, '--keeper', socket, '--config', configFile];
  const worker = await ServerProcess.start(args, { onEvent });
  return {
    port: worker.port,
    processes: [
      { role: 'keeper', pid: keeper.pid },
      { role: 'worker', pid: worker.pid },
    ],
    stop: async () => {
      await worker.stop();
      await keeper.stop();
    },
  };
};
