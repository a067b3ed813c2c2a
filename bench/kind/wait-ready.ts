import { readFile } from 'node:fs/promises';

import { untilReady } from '../lib/until-ready.ts';

/*
 * Says when a cluster's nodes, and when all of it, were seen Ready, for a process that sees its network:
 * `node bench/kind/wait-ready.ts KUBECONFIG PAUSE-IMAGE NODE...`
 */

const [, , kubeconfig = '', image = '', ...names] = process.argv;
const signal = AbortSignal.timeout(10 * 60_000);
process.stdout.write(JSON.stringify(await untilReady(await readFile(kubeconfig, 'utf8'), { image, everySeconds: 1 }, names, signal)));
process.exit(0);
