import type { Argv } from 'yargs';

export const demoOptions = (argv: Argv): Argv =>
  argv
    .example('$0 demo', 'watch it')
    .example('$0 demo --json', 'one document for scripts')
    .example(
      '$0 demo wiretap',
      'the same exchange clear, sealed, and with the keys in a process of their own',
    );

export const demoWiretapOptions = (argv: Argv): Argv =>
  argv
    .option('speed', { type: 'number', describe: '2 for twice as fast [1]' })
    .option('step', { type: 'boolean', describe: 'Wait for Enter after each step' })
    .example('$0 demo wiretap', 'watch it: Enter goes on at once, q ends it')
    .example('$0 demo wiretap --step', 'at your own pace')
    .example('$0 demo wiretap --json', 'one document for scripts');
