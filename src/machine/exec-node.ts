import type { ExecRequest } from '../host/engine/containers.ts';
import { execRunner, type ExecRunnerParts } from '../host/exec-runner.ts';
import type { Tar } from '../host/tar.ts';
import { nodeFiles } from './node-files.ts';
import type { NodeAddresses, NodeHandle } from './types.ts';

export interface ExecNodeParts extends ExecRunnerParts {
  readonly tar: Tar;
}

/** Where something can be run: a container by its engine, a virtual machine by SSH. */
export interface ExecPlace {
  readonly name: string;
  readonly addresses: NodeAddresses;
  /** Runs one command and answers its exit code; a cancelled one has ended with all that it started. */
  readonly exec: (request: ExecRequest) => Promise<number>;
}

/** What a command in a node sees beside what the node has by itself. */
const ENVIRONMENT = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', LANG: 'C.UTF-8' };

/** A running node, of whatever kind. */
export function execNode(parts: ExecNodeParts, place: ExecPlace): NodeHandle {
  const { name, addresses, exec } = place;
  const runner = execRunner(parts, { where: name, environment: ENVIRONMENT, exec });
  return {
    name,
    where: name,
    addresses,
    run: (argv, options) => runner.run(argv, options),
    ...nodeFiles(runner, parts.tar),
    attach: async (argv, { stdin, stdout, stderr, terminal, env, signal }) => {
      let stopFollowing: (() => void) | undefined;
      try {
        return await place.exec({
          argv,
          env: { ...ENVIRONMENT, ...env },
          stdout,
          stderr,
          ...(stdin === undefined ? {} : { stdin }),
          ...(terminal === undefined ? {} : { terminal }),
          ...(signal === undefined ? {} : { signal }),
          onStart: (resize) => {
            stopFollowing = terminal?.onResize((size) => void resize(size));
          },
        });
      } finally {
        stopFollowing?.();
      }
    },
  };
}
