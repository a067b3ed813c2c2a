import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';

import { KvciError } from '../../core/errors.ts';
import type { ContainerInfo, ContainerRequest } from '../../host/engine/containers.ts';
import { hostForwards, type HostForwardsParts } from './host-forwards.ts';

/** Somebody listens there. */
const TAKEN = 24009;

const NEVER = new AbortController().signal;
const spec = { cluster: 'lab', run: 'a', image: `sha256:${'0'.repeat(64)}` } as const;
const network = { ipv4: '10.89.1.0/24' };
const targets = [11, 12].map((host) => ({ address: `10.89.1.${host}`, port: 6443 }));

/** An engine that has at most the load balancer, and what was done to it. */
function engineOf() {
  const did: string[] = [];
  let made: ContainerRequest | undefined;
  let running = false;
  const info = (): ContainerInfo[] =>
    made === undefined
      ? []
      : [
          {
            id: 'b',
            name: made.name,
            labels: made.labels,
            running,
            addresses: { ipv4: '10.89.1.10' },
            published: new Map(running ? made.publish.map(({ inside, host }) => [inside, host]) : []),
          },
        ];
  const containers = {
    list: () => Promise.resolve(info()),
    create: (request: ContainerRequest) => {
      made = request;
      return Promise.resolve('b');
    },
    remove: () => {
      made = undefined;
      return Promise.resolve();
    },
    start: () => {
      did.push('start');
      const taken = made?.publish.some(({ host }) => host === TAKEN) === true;
      if (taken) return Promise.reject(new KvciError('notFoundOrExists', 'port-taken', `port ${TAKEN} is taken`));
      running = true;
      return Promise.resolve();
    },
    stop: () => {
      did.push('stop');
      running = false;
      return Promise.resolve();
    },
    exec: () => Promise.resolve(0),
  } as unknown as HostForwardsParts['containers'];
  const parts: HostForwardsParts = {
    engine: { hasImage: () => Promise.resolve(true), importRoot: () => Promise.resolve() },
    containers,
    balancerRoot: () => Promise.resolve(Readable.from([])),
    labels: () => Promise.resolve({ 'io.kvci.run/owner': 'me' }),
    publishAt: '127.0.0.1',
  };
  return { forwards: hostForwards(parts, spec), did, made: () => made };
}

describe('the load balancer of a cluster in an engine of the host', () => {
  it('publishes the API at the port that was chosen, also after it was stopped with the nodes', async () => {
    const { forwards, did, made } = engineOf();
    await forwards.balance(network, 6443, targets, NEVER, 24001);
    expect(made()).toMatchObject({
      publish: [{ inside: 6443, host: 24001, address: '127.0.0.1' }],
      labels: { 'io.kvci.run/owner': 'me', 'io.kvci.run': 'a' },
    });
    expect(await forwards.forward('api', targets, NEVER, 24001)).toEqual({ host: '127.0.0.1', port: 24001 });
    await forwards.rest();
    await expect(forwards.forward('api', targets, NEVER, 24001)).rejects.toMatchObject({ code: 'port-not-published' });
    await forwards.balance(network, 6443, targets, NEVER, 24001);
    expect(await forwards.forward('api', targets, NEVER, 24001)).toEqual({ host: '127.0.0.1', port: 24001 });
    expect(did).toEqual(['start', 'stop', 'start']);
  });

  it('whose port is taken is made anew at another one', async () => {
    const { forwards } = engineOf();
    await expect(forwards.balance(network, 6443, targets, NEVER, TAKEN)).rejects.toMatchObject({ code: 'port-taken' });
    await forwards.balance(network, 6443, targets, NEVER, 24001);
    expect(await forwards.forward('api', targets, NEVER, 24001)).toEqual({ host: '127.0.0.1', port: 24001 });
  });

  it('publishes the API also once one control plane is left of several', async () => {
    const { forwards } = engineOf();
    const left = targets.slice(0, 1);
    await forwards.balance(network, 6443, left, NEVER, 24001);
    expect(await forwards.forward('api', left, NEVER, 24001)).toEqual({ host: '127.0.0.1', port: 24001 });
  });

  it('that was never made has nothing to stop', async () => {
    const { forwards, did } = engineOf();
    await forwards.rest();
    expect(did).toEqual([]);
  });
});
