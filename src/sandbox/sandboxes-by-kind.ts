import type { Sandboxes } from './types.ts';

/**
 * Sandboxes of both kinds: a new one is of the kind that is asked for, one that runs is found by the kind that its record tells.
 *
 * @param container asked for when it is needed first
 */
export function sandboxesByKind(namespaces: Sandboxes, container: () => Promise<Omit<Sandboxes, 'startOverHost'>>): Sandboxes {
  return {
    start: async (request) => (request.kind === 'container' ? await container() : namespaces).start(request),
    startDetached: async (request, keep) => (request.kind === 'container' ? await container() : namespaces).startDetached(request, keep),
    find: async (record) => (record.kind === 'container' ? await container() : namespaces).find(record),
    startOverHost: (request) => namespaces.startOverHost(request),
  };
}
