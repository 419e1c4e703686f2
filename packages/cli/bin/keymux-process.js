import { runRole } from '../dist/processes/role.js';

process.exit(await runRole(process.argv.slice(2)));
