import process from 'node:process';

import { loadConfig } from '../../src/config/load.ts';
import type { RunContext } from '../../src/core/plan.ts';
import { systemClock } from '../../src/host/clock.ts';
import { type HostParts, hostParts } from '../../src/wiring/host.ts';
import { type ImageParts, imageParts } from '../../src/wiring/images.ts';

/** kvci's own parts for a bench that does in one process what kvci does, over the directories of whoever runs it. */
export async function benchParts(
  offline: boolean,
): Promise<{ readonly host: HostParts; readonly parts: ImageParts; readonly run: RunContext }> {
  const run: RunContext = { events: () => undefined, clock: systemClock, signal: new AbortController().signal };
  const settings = {
    offline,
    setup: false,
    secrets: new Set<never>(),
    sinks: new Set<never>(),
    config: () => loadConfig('/', undefined),
  };
  const host = await hostParts(process.env, run);
  return { host, parts: await imageParts(process.env, settings, host, run), run };
}
