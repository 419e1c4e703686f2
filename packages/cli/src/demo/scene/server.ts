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
export const startSingle: Start = async (host, onEvent) => {
  const origin = await startOrigin(host, ['--single-process'], onEvent);
  return { port: origin.port, processes: [{ role: 'server', pid: origin.pid }], stop: () => origin.stop() };
};

/** As servers run unless told otherwise; one worker is enough for one client. */
export const startSeparated: Start = async (host, onEvent) => {
  const started: Role[] = [];
  const origin = await startOrigin(host, ['--no-single-process', '--workers', '1'], (event) => {
    if (event.event === 'process-start')
      started.push({ role: String(event.process).replace(/ \d+$/, ''), pid: Number(event.pid) });
    onEvent(event);
  });
  return {
    port: origin.port,
    processes: [{ role: 'admin', pid: origin.pid }, ...started],
    stop: () => origin.stop(),
  };
};

function startOrigin(
  { name, keyFile, configFile }: SceneHost,
  args: readonly string[],
  onEvent: (event: Message) => void,
): Promise<ServerProcess> {
  const options = ['--key', `${name}=${keyFile}`, '--config', configFile, ...args];
  return ServerProcess.start(['origin', ...options], { onEvent });
}
