import type { HostService, ImageService, Services, ServiceSettings } from './cli/services.ts';
import { KvciError } from './core/errors.ts';
import type { RunContext } from './core/plan.ts';

/*
 * Environment and settings -> adapters and services, each imported when it is first asked for. The only file that imports
 * adapters.
 */

export type Environment = Readonly<Record<string, string | undefined>>;

export function createServices(environment: Environment, settings: ServiceSettings, run: RunContext): Services {
  return {
    image: once(() => imageService(environment, settings, run)),
    host: once(() => hostService(environment, settings, run)),
  };
}

// ---- images ---------------------------------------------------------------------------------------------------------

function imageService(_environment: Environment, _settings: ServiceSettings, _run: RunContext): Promise<ImageService> {
  return Promise.reject(new KvciError('bug', 'not-wired', 'image commands are not connected yet'));
}

// ---- the host -------------------------------------------------------------------------------------------------------

function hostService(_environment: Environment, _settings: ServiceSettings, _run: RunContext): Promise<HostService> {
  return Promise.reject(new KvciError('bug', 'not-wired', 'host commands are not connected yet'));
}

/** A service is made once, however often it is asked for. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}
