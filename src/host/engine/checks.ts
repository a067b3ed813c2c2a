import { KvciError } from '../../core/errors.ts';
import type { EngineInfo, HostCheck } from '../types.ts';
import type { EngineChoice, EngineSurroundings } from './discovery.ts';
import { type ConnectEngine, findEngine } from './find-engine.ts';

/** Says which engine kvci would use. None at all is well: kvci starts Podman itself; one that somebody named has to answer. */
export function engineCheck(choice: EngineChoice, host: EngineSurroundings, connect: ConnectEngine): HostCheck {
  const look = async (): Promise<string> => {
    await using engine = await findEngine(choice, host, connect);
    if (engine === undefined) return 'none runs: kvci starts Podman from its tools image where it needs one';
    return engineTitle(await engine.info());
  };
  let looked: Promise<string> | undefined;
  const found = (): Promise<string> => (looked ??= look());
  return {
    id: 'container-engine',
    title: 'container engine',
    found,
    run: async () => {
      try {
        await found();
        return undefined;
      } catch (error) {
        if (!(error instanceof KvciError)) throw error;
        return { level: 'error', message: [error.message, error.hint].filter((text) => text !== undefined).join('\n'), error };
      }
    },
  };
}

/** An engine for people: `docker 28.1.1, rootless (DOCKER_HOST)`. */
export function engineTitle({ name, version, rootless, origin }: EngineInfo): string {
  return `${name} ${version}${rootless ? ', rootless' : ''} (${origin})`;
}
