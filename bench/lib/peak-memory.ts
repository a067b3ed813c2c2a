import { writeFileSync } from 'node:fs';
import process from 'node:process';

/* Loaded into a kvci that a bench starts: writes its largest resident set, in bytes, to the file that KVCI_BENCH_PEAK names. */

const file = process.env['KVCI_BENCH_PEAK'];
if (file !== undefined) process.on('exit', () => writeFileSync(file, String(process.resourceUsage().maxRSS * 1024)));
